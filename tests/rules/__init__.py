# SPDX-License-Identifier: BSD-2-Clause
"""The rules of the NBD specification, as a table of bytes that any server can be held against; README.md says how."""
