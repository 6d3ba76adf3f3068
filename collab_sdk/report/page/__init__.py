"""The page: one HTML file that needs no other and asks nobody for anything."""

from collab_sdk.report.page.page import Page, require_page

__all__ = ["Page", "require_page"]
