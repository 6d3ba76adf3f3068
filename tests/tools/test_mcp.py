"""The client of an MCP server that the docs show, with a real server."""

import re
import sys

import pytest
from support.agents import doing, play, reply, results
from support.paths import ROOT

pytest.importorskip("mcp")

SERVER = '''
from mcp.server import MCPServer

server = MCPServer("shop")
paid = {5: 20.0}

@server.tool()
def refund(order: int) -> str:
    """Pay back the price of an order."""
    return f"refunded {paid.pop(order)}"

server.run()
'''


def test_each_future_has_a_server_of_its_own(tmp_path):
    path = tmp_path / "shop_server.py"
    path.write_text(SERVER)
    [block] = re.findall(r"```py\n(from mcp .*?)```", (ROOT / "docs" / "agents.md").read_text(), re.DOTALL)
    names: dict = {"__name__": "docs"}
    exec(block.replace('command="python"', f"command={sys.executable!r}").replace("shop_server.py", str(path)), names)
    refund = reply(("refund", {"order": 5}))
    for _ in range(2):
        first, second = results(play(doing(refund, refund), tools=names["Shop"]))
        assert first == "refunded 20.0"
        assert "refunded" not in second
