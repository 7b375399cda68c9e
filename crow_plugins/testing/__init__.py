"""For the tests of a plugin: a chain of instances in one process, whose links and clocks the test holds.

Everything in it is real (databases, feeds, encrypted connections, tool calls) but for the network between the
instances and the time. With pytest, ask for the fixture `crow_chain`.
"""

from crow_plugins.testing.chain import Chain, NotSettled
from crow_plugins.testing.clock import Clock
from crow_plugins.testing.instance import Instance

__all__ = ["Chain", "Clock", "Instance", "NotSettled"]
