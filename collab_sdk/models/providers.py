"""Which provider a model's name means, where it is, and which key it may be given."""

import os
from dataclasses import dataclass, field
from typing import Self

from collab_sdk.models.litellm import provider_of

OPENAI_ADDRESS = "https://api.openai.com/v1"
OWN_ADDRESS = {"openai": "OPENAI_BASE_URL"}
