# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 16
# fstrim gives the host its memory and its disk space back.

# gives_back EXPORT BEFORE: xfs frees what was removed in its own time, and trims only what it has logged that of.
gives_back() {
    fstrim /mnt && sync && at_least $(($2 - $(host kib "$1"))) $((20 * 1024))
}

# trim TYPE EXPORT (8 checks)
trim() {
    local type=$1 export=$2 before
    check "$export: attach" attach nbd0 "$export"
    check "$export: mkfs.$type" format "$type" nbd0
    check "$export: mount" mount -t "$type" /dev/nbd0 /mnt
    before=$(host kib "$export")
    check "$export: fill" dd if=/dev/urandom of=/mnt/file bs=1M count=24 conv=fsync
    check "$export: the host holds more" at_least $(($(host kib "$export") - before)) $((20 * 1024))
    rm /mnt/file
    sync
    before=$(host kib "$export")
    check "$export: fstrim: the host holds less" soon gives_back "$export" "$before"
    check "$export: umount" umount /mnt
    check "$export: detach" detach nbd0
}

trim ext4 ram0
trim xfs disk
