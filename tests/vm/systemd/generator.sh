# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 38
# What is configured is attached at boot, in order; and mount -t nbd with util-linux's mount, where services attach.

URI=nbd://$SERVER:$PORT
BY_ID='blockdev@dev-disk-by\x2did-nbd\x2d'

# before NAME TARGET: systemd knows of it, and prints it in quotes if there is a backslash.
before() {
    systemctl show --property=Before --value "platter@$1.service" | tr ' ' '\n' | tr -d '"' | sed 's/\\\\/\\/g' | grep -Fx "$2.target"
}

inactive() {
    [ "$(systemctl is-active "platter@$1.service")" = inactive ]
}

check "check finds nothing missing" platter check
check "the generator has run" test -L /run/systemd/generator/remote-fs.target.wants/platter@data.service
check "its service comes before what needs the device" before data "${BY_ID}data"

mkdir -p /etc/platter/attach.d /mnt
printf 'nbd5 %s ram0 port=%s,_name=five\nnonsense\n' "$SERVER" "$PORT" >/etc/nbdtab
printf 'uri = %s/ro\nread-only = yes\nauto = no\n' "$URI" >/etc/platter/attach.d/six.conf
check "more is configured" systemctl daemon-reload
check "a mistake is told" sh -c "platter check | grep '^wrong: /etc/nbdtab:2: nonsense: device, host and export'"
check "by its path" before five "blockdev@dev-disk-by\x2dpath-nbd\x2d$SERVER:$PORT\x2dram0"
check "by its name" before five "${BY_ID}five"
check "what isn't for the boot has its order" before six "${BY_ID}six"
check "as at boot" systemctl start remote-fs.target
check "it is attached" soon is five alive
check "it is ready" soon systemctl is-active platter@five.service
equal "as the device that was chosen" "$(readlink -f /dev/disk/by-id/nbd-five)" /dev/nbd5
check "the other isn't" inactive six
equal "attach it by its name" "$(platter attach six)" "$(readlink -f /dev/disk/by-id/nbd-six)"
check "its service does that" systemctl is-active platter@six.service
check "nothing was written for it" test ! -e /run/platter/attach.d/six.conf
check "detach" platter detach six
check "with other options" platter attach --timeout=9 six
check "these count" sh -c "platter status six | grep 'may take 9 s'"
check "detach" platter detach six

check "mkfs" mkfs.ext4 -q -F /dev/nbd5
ln -s /usr/local/sbin/mount.nbd /usr/local/sbin/umount.nbd /sbin/
check "mount of a name" mount -t nbd five /mnt
check "umount" umount /mnt
check "it stays" soon is five alive
check "mount" mount -t nbd -o name=seven,ro,helper=nbd "$URI/ro" /mnt
check "by a service" systemctl is-active platter@seven.service
check "what is mounted" sh -c "findmnt -rno FSTYPE,OPTIONS /mnt | grep '^ext4 ro'"
check "umount, which calls the helper" umount /mnt
check "it is detached" exits 3 platter status seven

cp /etc/fstab /tmp/fstab
echo "$URI/ram0 /mnt nbd _netdev,noauto,fstype=ext4,name=five,noatime 0 0" >>/etc/fstab
check "a line of fstab" systemctl daemon-reload
check "start its mount" systemctl start mnt.mount
check "it is" sh -c "findmnt -rno SOURCE,OPTIONS /mnt | grep '^/dev/nbd5 .*noatime'"
check "mount it again" mount /mnt
check "stop it" systemctl stop mnt.mount
equal "mounted once" "$(grep -c ' /mnt ' /proc/mounts)" 0
cp /tmp/fstab /etc/fstab
rm /etc/nbdtab /etc/platter/attach.d/six.conf
check "as it was" systemctl daemon-reload
check "detach" platter detach five
check "its service ends" soon inactive five
