"""What is quoted comes back as it was, and nothing of it is read as anything else."""

from __future__ import annotations

import html
import re
import shlex
import subprocess
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.agent.strangers import LINK, OLD, UNKNOWN, WITHOUT_EFFECT
from portcullis.cli.map import comment, mermaid, page, svg
from portcullis.cli.map.model import Edge, Map, Node
from portcullis.cli.pipeline import markdown
from portcullis.cli.report import differences, terminal
from portcullis.cli.report.render import Row
from portcullis.components.inventory import remedies
from portcullis.components.nginx.on_host.nginx_config import directives
from portcullis.components.nginx.render import tree
from portcullis.components.redis.on_host import resp
from portcullis.components.tunnels.render import tunnel_lines
from portcullis.components.upkeep import render as upkeep
from portcullis.components.users.on_host import authorized_keys
from portcullis.host import bootstrap, strangers
from portcullis.host.errors import HostError
from portcullis.printable import one_line, printable, printable_values
from portcullis.rendering import word
from tests.fuzz import texts as fuzz
from tests.fuzz.texts import texts, values
