# SPDX-License-Identifier: GPL-3.0-or-later
"""What the whole-program tests share: the daemon as a test holds it, clients, messages, other MTAs."""
