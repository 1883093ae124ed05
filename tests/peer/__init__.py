# SPDX-License-Identifier: GPL-3.0-or-later
"""The other side of a test: next hops and name servers that do what they are told."""
