# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 14
# One device over four connections, used in parallel.

# parallel COMMAND: runs it four times at once, each with a number from 0 to 3; true when all succeed.
parallel() {
    local i job jobs=
    for i in 0 1 2 3; do
        "$1" $i &
        jobs="$jobs $!"
    done
    for job in $jobs; do
        wait "$job" || return 1
    done
}

# Four regions of the device, 3 MiB each, at odd distances.
write_region() {
    dd if="/tmp/random$1" of=/dev/nbd0 bs=64k seek=$((1 + $1 * 999)) oflag=direct conv=fsync,notrunc status=none
}

read_region() {
    dd if=/dev/nbd0 bs=64k skip=$((1 + $1 * 999)) count=48 iflag=direct status=none | cmp - "/tmp/random$1"
}

copy_tree() {
    cp -a /tree "/mnt/$1"
}

for i in 0 1 2 3; do
    dd if=/dev/urandom of=/tmp/random$i bs=1M count=3 status=none
done
check "attach" attach nbd0 ram0 -C 4
equal "connections" "$(host connections)" 4
# The kernel has no more queues than the guest has processors.
equal "hardware queues" "$(find /sys/block/nbd0/mq -mindepth 1 -maxdepth 1 | wc -l)" 2
check "parallel writes" parallel write_region
check "parallel reads" parallel read_region
rm /tmp/random?
check "mkfs.ext4" format ext4 nbd0
check "mount" mount -t ext4 /dev/nbd0 /mnt
check "parallel copies" parallel copy_tree
check "sync" sync
check "checksums, in parallel" same_tree /mnt/0 /mnt/1 /mnt/2 /mnt/3
check "umount" umount /mnt
check "e2fsck -fn" e2fsck -fn /dev/nbd0
check "detach" detach nbd0
check "all connections have ended" soon no_connections
