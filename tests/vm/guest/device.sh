# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 21
# What the kernel sees of each export.

queue() {
    cat "/sys/block/nbd0/queue/$1"
}

last_sector() {
    dd if=/dev/nbd0 bs=512 skip=$(($(blockdev --getsz /dev/nbd0) - 1)) status=none
}

# device EXPORT (4 checks)
device() {
    check "$1: attach" attach nbd0 "$1"
    equal "$1: size" "$(blockdev --getsize64 /dev/nbd0)" "$(host bytes "$1")"
    equal "$1: logical block size" "$(queue logical_block_size)" 512
    equal "$1: last sector" "$(last_sector | wc -c)" 512
}

# writable (4 checks)
writable() {
    equal "$1: writable" "$(blockdev --getro /dev/nbd0)" 0
    equal "$1: flush" "$(queue write_cache)" "write back"
    equal "$1: FUA" "$(queue fua)" 1
    check "$1: trim" at_least "$(queue discard_max_bytes)" 4096
}

# One "NAME" or "NAME: DESCRIPTION" a line.
exports() {
    nbd-client -l "$SERVER" "$PORT" | sed '/^Negotiation/d; s/:.*//' | sort | xargs
}

equal "list" "$(exports)" "data disk ram0 ro swap"
for export in ram0 disk; do
    device $export
    writable $export
    check "$export: detach" detach nbd0
    check "$export: the connection has ended" soon no_connections
done
