# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 13
# ext4 on a RAM disk.

file_system ext4 ram0 e2fsck -fn
