"""Running code that a model wrote: away from the network, the files, the keys and the processes of this machine."""

from collab_sdk.sandbox.isolation import ISOLATIONS, Isolation, find_isolation, works
from collab_sdk.sandbox.limits import ProgramLimits
from collab_sdk.sandbox.process import ProgramEnd, ProgramRun
from collab_sdk.sandbox.sandbox import Sandbox
from collab_sdk.sandbox.talking import TalkingProgram

__all__ = [
    "ISOLATIONS",
    "Isolation",
    "ProgramEnd",
    "ProgramLimits",
    "ProgramRun",
    "Sandbox",
    "TalkingProgram",
    "find_isolation",
    "works",
]
