# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 12
# A read-only export can be read, and only that. On it is ext4 with the tree.

write_sector() {
    dd if=/dev/zero of=/dev/nbd0 bs=512 count=1 conv=fsync
}

# Told to mount read-write, mount may give in and mount read-only.
mount_read_write() {
    mount -t ext4 -o rw /dev/nbd0 /mnt && grep -q '^/dev/nbd0 /mnt ext4 rw' /proc/mounts
}

mounted() {
    grep -q '^/dev/nbd0 /mnt ext4 ro' /proc/mounts || mount -t ext4 -o ro /dev/nbd0 /mnt
}

before=$(host sha256 ro)
check "attach" attach nbd0 ro
equal "size" "$(blockdev --getsize64 /dev/nbd0)" "$(host bytes ro)"
equal "blockdev --getro" "$(blockdev --getro /dev/nbd0)" 1
check "writing to the device is refused" refused write_sector
check "discarding is refused" refused blkdiscard /dev/nbd0
check "mounting read-write is refused" refused mount_read_write
check "mount read-only" mounted
check "creating a file is refused" refused touch /mnt/new
check "checksums" same_tree /mnt
check "umount" umount /mnt
check "detach" detach nbd0
equal "the image is unchanged" "$(host sha256 ro)" "$before"
