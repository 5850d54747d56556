# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 33
# mount -t nbd and names of nbdtab and attach.d, with busybox's mount.

URI=nbd://$SERVER:$PORT

# How, and of which device, whose number is the kernel's choice.
mounted_on() {
    awk -v where="$1" '$2 == where { print $1, $3, substr($4, 1, 2) }' /proc/mounts | sed 's/nbd[0-9]* /nbdN /'
}

for name in mount.nbd umount.nbd; do
    ln -sf /bin/platter /bin/$name
done
mkdir -p /mnt /etc/platter/attach.d

check "attach" platter attach "$URI/ram0"
check "mkfs" mkfs.ext4 -q -F "$(platter attach "$URI/ram0")"
check "detach" platter detach ram0
check "mount" mount -t nbd -o commit=7,fstype=ext4,name=vm1,timeout=7 "$URI/ram0" /mnt
equal "what is mounted" "$(mounted_on /mnt)" "/dev/nbdN ext4 rw"
check "with its option" grep ' /mnt ext4 .*commit=7' /proc/mounts
check "its name" sh -c "platter status vm1 >/tmp/said"
check "its timeout" said "a request may take 7 s"
check "write" cp -a /tree/crypto /mnt
check "again: it is there" mount -t nbd -o fstype=ext4,name=vm1 "$URI/ram0" /mnt
equal "mounted once" "$(grep -c ' /mnt ' /proc/mounts)" 1
check "umount" umount /mnt
check "it stays attached" platter status vm1
check "mount what is attached" mount -t nbd -o name=vm1 "$URI/ram0" /mnt
equal "the type is found" "$(mounted_on /mnt)" "/dev/nbdN ext4 rw"
check "umount.nbd" umount.nbd /mnt
equal "it is unmounted" "$(grep -c ' /mnt ' /proc/mounts)" 0
check "and detached" exits 3 platter detach vm1

check "what can't be mounted" refused mount -t nbd -o fstype=xfs "$URI/ram0" /mnt
check "isn't attached" exits 3 platter detach ram0
check "no such export" refused mount -t nbd "$URI/nothing" /mnt
check "read-only" mount.nbd "$URI/ro" /mnt -o ro
equal "it is" "$(mounted_on /mnt)" "/dev/nbdN ext4 ro"
equal "the device, too" "$(cat "/sys/block/$(awk '$2 == "/mnt" { print substr($1, 6) }' /proc/mounts)/ro")" 1
check "it ends" umount.nbd /mnt

printf 'nbd3 %s ram0 port=%s,persist,_name=three # as for nbd-client\n' "$SERVER" "$PORT" >/etc/nbdtab
printf 'uri = %s/ro\nread-only = yes\n' "$URI" >/etc/platter/attach.d/four.conf
equal "nbdtab: by its device" "$(platter attach nbd3)" /dev/nbd3
equal "nbdtab: by its name" "$(platter attach three)" /dev/nbd3
check "mount what attach.d has" mount.nbd four /mnt
check "it is used" exits 5 platter detach four
check "umount" umount.nbd /mnt
check "detach by device" platter detach nbd3
printf 'timeout = 0\n' >>/etc/platter/attach.d/four.conf
check "a mistake" exits 2 platter attach four
check "is told with its line" said "/etc/platter/attach.d/four.conf:3: timeout=0: not a number of seconds"
