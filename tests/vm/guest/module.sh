# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 14
# A disk of modules that are loaded into the running server, which keeps them as long as it is mounted.

server_refuses() {
    local reply
    reply=$(host ctl "$@")
    echo "$reply"
    [ "${reply%% *}" = refused ]
}

check "no module is loaded" refused server_does param linear
check "two RAM disks and linear on them" server_does export add low0=ram:48M low1=ram:48M tall=linear:low0+low1
check "attach" attach nbd0 tall
equal "size" "$(blockdev --getsize64 /dev/nbd0)" $((96 * 1024 * 1024))
check "mkfs.ext4" format ext4 nbd0
check "mount" mount -t ext4 /dev/nbd0 /mnt
check "copy files" cp -a /tree/. /mnt
check "rmmod is refused" server_refuses rmmod linear
check "what it needs stays, too" server_refuses rmmod stack
check "checksums" same_tree /mnt
check "umount" umount /mnt
check "detach" detach nbd0
check "rmmod" server_does rmmod --drain=30 linear
check "its disk is gone" refused attach nbd0 tall
