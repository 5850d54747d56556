# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 13
# xfs on a file.

file_system xfs disk xfs_repair -n
