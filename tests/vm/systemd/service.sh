# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 100
# systemd starts what attaches, in the right order, and starts it again; platter asks it to, where it runs.

URI=nbd://$SERVER:$PORT

main_pid() {
    systemctl show --property=MainPID --value "platter@$1.service"
}

# another_pid NAME PID
another_pid() {
    local pid
    pid=$(main_pid "$1")
    [ "$pid" -ne 0 ] && [ "$pid" -ne "$2" ]
}

nothing_failed() {
    systemctl --failed --plain --no-legend >/tmp/failed
    cat /tmp/failed
    [ ! -s /tmp/failed ]
}

# device_of NAME: nbdN, or a partition of that.
device_of() {
    basename "$(readlink -f "/dev/disk/by-id/nbd-$1")"
}

# flushes_io PID: PR_SET_IO_FLUSHER has set both of its flags, PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE.
flushes_io() {
    [ $(($(awk '{ print $9 }' "/proc/$1/stat") & 0x180000)) -eq $((0x180000)) ]
}

check "booted" systemctl is-active multi-user.target
check "nothing has failed" nothing_failed
check "the disk of fstab is mounted" mountpoint /data
check "checksums" same_tree /data
check "its service is active" systemctl is-active platter@data.service
device=$(device_of data)
check "a name for it" test -b /dev/disk/by-id/nbd-data
equal "another name" "$(readlink -f "/dev/disk/by-path/nbd-$SERVER:$PORT-data")" "/dev/$device"
check "platter knows it" soon is data alive
check "what nbdtab has is mounted" mountpoint /tab
check "its checksums" same_tree /tab
equal "on the device that it asks for" "$(device_of tab)" nbd9
check "swap is on" grep '^/dev/nbd8 ' /proc/swaps
check "what isn't for the boot isn't there" exits 3 platter status later
equal "by its name" "$(platter attach later)" "$(readlink -f /dev/disk/by-id/nbd-later)"
check "it has a service" systemctl is-active platter@later.service
check "which systemd may end" systemctl stop platter@later.service

pid=$(main_pid data)
check "its supervisor is killed" kill -KILL "$pid"
check "another one comes" soon another_pid data "$pid"
check "and is well" soon is data alive
equal "with the same connections" "$(reconnects data)" 0
check "it has them from systemd" sh -c "platter status data | grep 'alive, for'"
check "write" sh -c "cp -a /tree/crypto /data/more && sync"

equal "attach by hand" "$(platter attach --name two "$URI/ram0" | sed 's/[0-9]*$//')" /dev/nbd
check "a service does it" systemctl is-active platter@two.service
check "again" platter attach --name two "$URI/ram0"
check "its pages of memory are locked" sh -c "grep -E 'VmLck:[[:space:]]*[1-9]' /proc/$(main_pid two)/status"
check "to have memory it needs no disk" flushes_io "$(main_pid two)"
check "mkfs" mkfs.ext4 -q -F /dev/disk/by-id/nbd-two
device=$(device_of two)
attached_by=$(cat "/sys/block/$device/pid")
pid=$(main_pid two)
check "the supervisor of what nobody uses is killed" kill -KILL "$pid"
check "another one takes its place" soon another_pid two "$pid"
check "of a device that is well" soon is two alive
equal "and the same as before" "$(cat "/sys/block/$device/pid")" "$attached_by"
check "detach" platter detach two
check "the service has ended" soon sh -c "systemctl is-active platter@two.service | grep inactive"
equal "not failed" "$(systemctl is-failed platter@two.service)" inactive
check "attach and don't wait" platter attach --no-wait --name three "$URI/disk"
check "it comes" soon is three alive
check "detach it again" platter detach --wait three
check "attach with a service of its own name" platter attach --name three "$URI/disk"
check "partition it" sh -c "printf 'n\np\n1\n\n\nw\n' | fdisk /dev/disk/by-id/nbd-three"
check "the partition has a name" soon test -b /dev/disk/by-id/nbd-three-part1
equal "which is right" "$(device_of three-part1)" "$(device_of three)p1"
equal "and another" "$(readlink -f "/dev/disk/by-path/nbd-$SERVER:$PORT-disk-part1")" "/dev/$(device_of three)p1"
sleep 4 5</dev/disk/by-id/nbd-three &
check "stop the service of what is in use for a while" systemctl stop platter@three.service
check "that detaches" exits 3 platter detach three
equal "and hasn't failed" "$(systemctl is-failed platter@three.service)" inactive
check "the names have gone" soon sh -c "! ls -d /dev/disk/by-id/nbd-three*"
check "attach what has a partition" platter attach --name three "$URI/disk"
check "its name is there at once" test -b /dev/disk/by-id/nbd-three-part1
check "detach that" platter detach three
check "no such export" exits 8 platter attach "$URI/nothing"
check "it says so" said "NBD_REP_ERR_UNKNOWN"
echo "errors are expected" >/dev/kmsg
check "a device that is taken" exits 5 platter attach --device "$(device_of data)" --name four "$URI/ro"
check "what the service says of that" said "attach: "
check "no service goes on trying" soon sh -c "systemctl is-active platter@four.service | grep inactive"
check "nothing is left of it" sh -c "! ls /run/platter/attach.d | grep four"
check "nothing has failed since" nothing_failed
echo "errors are a fault" >/dev/kmsg
check "detach of what fstab mounted" exits 5 platter detach data
check "it says where" said "mounted on /data"

# by_path EXPORT: what the link of the guest's own server is to.
by_path() {
    readlink -f "/dev/disk/by-path/nbd-127.0.0.1:10809-$1"
}

check "a server with nasty names, and TLS" start_server --tls-certificates=/pki --tls=on 'a/b c=ram:16M' 'größe$"=ram:16M' one=ram:16M
check "a slash and a blank" platter attach --name slash nbd://127.0.0.1/a/b%20c
equal "are escaped" "$(by_path 'a\x2fb\x20c')" "/dev/$(device_of slash)"
check "partition it" sh -c "printf 'n\np\n1\n\n\nw\n' | fdisk /dev/disk/by-id/nbd-slash"
check "the partition's, too" soon test -b '/dev/disk/by-path/nbd-127.0.0.1:10809-a\x2fb\x20c-part1'
check "no directory was made" test ! -e /dev/disk/by-path/nbd-127.0.0.1:10809-a
check "UTF-8 and quotes" platter attach --name quotes nbd://127.0.0.1/gr%C3%B6%C3%9Fe%24%22
equal "likewise" "$(by_path 'größe\x24\x22')" "/dev/$(device_of quotes)"
check "detach both" platter detach slash quotes

check "TLS" platter attach --tls-certificates /pki nbds://127.0.0.1/one
check "by the kernel" sh -c "platter status one | grep 'TLSv1.3 TLS_AES_128_GCM_SHA256, by the kernel'"
pid=$(main_pid one)
check "its supervisor is killed, too" kill -KILL "$pid"
check "another one comes there" soon another_pid one "$pid"
check "which is well" soon is one alive
equal "with the same connection" "$(reconnects one)" 0
check "it asks the kernel for the cipher" sh -c "platter status one | grep 'TLSv1.3 TLS_AES_128_GCM_SHA256, by the kernel'"
check "detach it" platter detach one
check "that server ends" kill -TERM "${server:?}"

echo "errors are expected" >/dev/kmsg
check "a disk whose first block can't be read" server_does export add spoilt=error:disk
check "since its server is broken" server_does param error per_million 1000000
begin=$(cut -d. -f1 /proc/uptime)
check "its service fails" exits 8 platter attach "$URI/spoilt"
check "that is told" said "isn't usable: its first block can't be read: Input/output error"
check "long before its time is over" test $(($(cut -d. -f1 /proc/uptime) - begin)) -lt 30
check "nothing is attached" exits 3 platter status spoilt
check "its export ends" server_does export remove spoilt
check "udev does nothing" udevadm control --stop-exec-queue
check "attach with no links" exits 10 platter attach --name late "$URI/ram0"
check "that is told, too" said "udev is late, and has made no /dev/disk/by-id/nbd-late"
check "udev goes on" udevadm control --start-exec-queue
check "it isn't attached" exits 3 platter status late
check "nor does a service try" soon sh -c "systemctl is-active platter@late.service | grep inactive"
check "without its rules" sh -c "cd /usr/local/lib/udev/rules.d && mv 65-platter.rules /tmp && udevadm control --reload"
check "attach" platter attach --name bare "$URI/ram0"
check "its service warns" soon sh -c "journalctl -u platter@bare | grep 'udev has made no /dev/disk/by-id/nbd-bare; platter check'"
check "detach what has no links" platter detach bare
check "they are there again" sh -c "mv /tmp/65-platter.rules /usr/local/lib/udev/rules.d && udevadm control --reload"
check "no unit has failed" nothing_failed
echo "errors are a fault" >/dev/kmsg

# It is still mounted when the guest is switched off.
check "attach by hand, and stay" platter attach --name last "$URI/ram0"
check "mkfs on it" mkfs.ext4 -q -F /dev/disk/by-id/nbd-last
check "mount it by hand" sh -c "mkdir /last && mount /dev/disk/by-id/nbd-last /last"
check "write to it" cp -a /tree/crypto /last
