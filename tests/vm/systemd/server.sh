# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 69
# platterd as a service: told of, reloaded, hardened, with access to more, started by its sockets, watched.

ETC=/usr/local/etc/platter
LOCAL=nbd://127.0.0.1
UNIT=platterd.service

# shows PROPERTY: of the service.
shows() {
    systemctl show --property="$1" --value $UNIT
}

active() {
    systemctl is-active "$1"
}

# logged TEXT [FIELD=VALUE]: by the service since systemd has started it last.
logged() {
    journalctl --no-pager --output=cat "_SYSTEMD_INVOCATION_ID=$(shows InvocationID)" ${2+"$2"} | grep -F -- "$1"
}

# confined: the daemon isn't root, can't become it, and what it can ask the kernel for is filtered.
confined() {
    local uid
    uid=$(id -u platter)
    tr '\t' ' ' <"/proc/$pid/status" |
        grep -xE "Uid:( $uid){4}|(CapPrm|CapEff|CapBnd|CapAmb): 0{16}|NoNewPrivs: 1|Seccomp: 2" >/tmp/status
    compare "$(wc -l </tmp/status)" 7 || { cat /tmp/status; return 1; }
}

# inside COMMAND...: as root, but with the daemon's view of the file system.
inside() {
    nsenter --target "$pid" --mount "$@"
}

# read_only DIR...: for root, too.
read_only() {
    # shellcheck disable=SC2016 # it is for the other shell
    inside sh -c 'for dir; do touch "$dir/new" 2>&1 | grep "Read-only file system" || exit; done' sh "$@"
}

# empty DIR: as the daemon sees it, and only so.
empty() {
    [ -z "$(inside ls -A "$1")" ] && [ -n "$(ls -A "$1")" ]
}

stopped() {
    [ "$(shows ActiveState)" = inactive ]
}

# The gate keeps the service's start waiting, where there is one.
at_the_gate() {
    [ "$(shows SubState)" = start-pre ]
}

# in_the_queue: the kernel has a connection to the service's port.
in_the_queue() {
    grep -E ' 0100007F:2A39 0100007F:[0-9A-F]{4} 01 ' /proc/net/tcp
}

# --- The user and the directories

check "sysusers.d" systemd-sysusers /usr/local/lib/sysusers.d/platter.conf
check "makes a user" id platter
equal "tmpfiles.d made the directory of the control socket" "$(stat -c '%a %U' /run/platter)" "755 root"

# --- As it is installed

mkdir -p /srv /home/someone /elsewhere
truncate -s 64M /srv/disk.img
truncate -s 1M /home/someone/disk.img /elsewhere/disk.img
chown platter:platter /srv/disk.img /home/someone/disk.img /elsewhere/disk.img
printf '[export memory]\nsource = ram:64M\n[export disk]\nsource = /srv/disk.img\n' >$ETC/platterd.conf
printf '[listen local]\naddress = unix:/run/platterd/nbd.sock\n[listen network]\naddress = tcp:*\n' >$ETC/platterd.conf.d/listen.conf
mkdir -p /usr/local/etc/default
echo 'PLATTERD_OPTIONS="--verbose --drain-timeout=5"' >/usr/local/etc/default/platterd
check "start" systemctl start $UNIT
check "it answers" platter ping $LOCAL/disk
equal "systemd is told what it does" "$(shows StatusText)" "Serving 2 exports, 0 clients"
equal "what nobody asked for isn't started" "$(active platterd.socket)" inactive
equal "the directory of its state" "$(stat -c '%a %U' /var/lib/platter)" "750 platter"
check "its unix socket" platter ping "nbd+unix:///disk?socket=/run/platterd/nbd.sock"
check "it has io_uring" soon logged "on io_uring"
head -c 1M /dev/urandom >/tmp/data
check "write" nbdcopy /tmp/data $LOCAL/disk
check "the journal knows the client's export" soon logged ": uses disk" PLATTER_EXPORT=disk

pid=$(shows MainPID)
printf '[export more]\nsource = ram:1M\n' >$ETC/platterd.conf.d/more.conf
check "reload" systemctl reload $UNIT
check "there is another export" platter ping $LOCAL/more
equal "which is told" "$(shows StatusText)" "Serving 3 exports, 0 clients"
printf '[export more]\nsource = nonsense:1M\n' >$ETC/platterd.conf.d/more.conf
echo "errors are expected" >/dev/kmsg
check "reload of what is wrong fails" exits 1 systemctl reload $UNIT
echo "errors are a fault" >/dev/kmsg
check "the journal says where" soon logged "more.conf:2"
check "it is active as before" active $UNIT
check "with the same exports" platter ping $LOCAL/more
equal "in the same process" "$(shows MainPID)" "$pid"
rm $ETC/platterd.conf.d/more.conf

# --- What it may do

check "no rights, and none to be had" confined
check "read-only" read_only /usr /etc /elsewhere /sys
check "what it serves isn't" inside touch /srv/new /var/lib/platter/new
check "homes are empty" empty /home
check "temporary files are its own" empty /tmp
check "no block devices" inside test ! -e /dev/nbd9
check "nor the kernel's settings" inside test ! -e /proc/sys
check "a file in a home" exits 1 platterctl export add home=/home/someone/disk.img
check "is refused" said "/home/someone/disk.img: Permission denied"
check "a file of root's" exits 1 platterctl export add shadow=/etc/shadow
check "is refused, too" said "/etc/shadow: Permission denied"
check "a file elsewhere" platterctl export add else=/elsewhere/disk.img
check "is only read" soon logged "/elsewhere/disk.img: it may not be written: served read-only"
check "a module" platterctl insmod /usr/local/lib/platter/modules/hello.so
check "systemd's opinion" systemd-analyze security --no-pager --threshold=15 $UNIT

before=$(date +%s)
check "stop" systemctl stop $UNIT
check "at once" at_least 10 $(($(date +%s) - before))
equal "in good order" "$(shows Result) $(shows ExecMainStatus)" "success 0"
check "what was written is in the file" cmp -n 1048576 /tmp/data /srv/disk.img

printf '[export more]\nsource = nonsense:1M\n' >$ETC/platterd.conf.d/more.conf
echo "errors are expected" >/dev/kmsg
check "it doesn't start with what is wrong" exits 1 systemctl start $UNIT
equal "nor is it tried again, in vain" "$(shows ActiveState) $(shows ExecMainStatus) $(shows NRestarts)" "failed 2 0"
check "which is mended" systemctl reset-failed $UNIT
echo "errors are a fault" >/dev/kmsg
rm $ETC/platterd.conf.d/more.conf

# --- More sockets, and more access

check "a block device" platter attach --name under "nbd://$SERVER:$PORT/ram0"
under=$(readlink -f /dev/disk/by-id/nbd-under)
mkdir -p /run/systemd/system/$UNIT.d
cat >/run/systemd/system/platterd-tls.socket <<EOF
[Socket]
ListenStream=127.0.0.1:10810
FileDescriptorName=nbds
Service=platterd.service
EOF
cat >/run/systemd/system/$UNIT.d/test.conf <<EOF
[Service]
ReadWritePaths=/elsewhere
PrivateDevices=no
DeviceAllow=$under rw
SupplementaryGroups=disk
LoadCredential=server-cert.pem:/pki/server-cert.pem
LoadCredential=server-key.pem:/pki/server-key.pem
WatchdogSec=3
ExecStartPre=+/bin/sh -c "test ! -p /run/gate || : </run/gate"
EOF
printf '[tls]\ncertificates = /run/credentials/platterd.service\nmode = on\n' >$ETC/platterd.conf.d/listen.conf
check "drop-ins" systemctl daemon-reload
check "its sockets alone" systemctl start platterd.socket platterd-tls.socket
check "the service isn't there" stopped
check "the first client is served" platter ping "nbds://127.0.0.1:10810/disk?tls-certificates=/pki"
check "by the service" active $UNIT
check "at nbds one must use TLS" exits 9 platter ping nbd://127.0.0.1:10810/disk
check "as it says" said "requires TLS"
check "at the other one one need not" platter ping $LOCAL/disk
check "the file elsewhere" platterctl export add else=/elsewhere/disk.img
check "can be written" nbdcopy /tmp/data $LOCAL/else
check "the block device" platterctl export add "under=$under"
check "can be written, too" nbdcopy /tmp/data $LOCAL/under
check "other devices can't" exits 1 platterctl export add tab=/dev/nbd9,readonly
check "which is told" said "/dev/nbd9: Operation not permitted"

check "stop the service" systemctl stop $UNIT
check "the control socket starts it" platterctl version

# --- Watched, while a client waits

pid=$(shows MainPID)
mkfifo /run/gate
echo "errors are expected" >/dev/kmsg
check "the service stands still" kill -STOP "$pid"
check "systemd ends it, and starts another one" soon at_the_gate
echo "errors are a fault" >/dev/kmsg
platter ping $LOCAL/disk >/tmp/ping 2>&1 &
client=$!
check "a client comes meanwhile" soon in_the_queue
check "it waits" kill -0 $client
check "the service goes on" sh -c ": >/run/gate"
check "the client is served" wait $client
equal "started again once" "$(shows NRestarts)" 1
check "for this reason" sh -c "dmesg | grep '$UNIT: Watchdog timeout'"

check "the end" systemctl stop $UNIT platterd.socket platterd-tls.socket platterd-control.socket
check "detach" platter detach under
rm -r /run/gate /run/systemd/system/platterd* $ETC/platterd.conf $ETC/platterd.conf.d/* /usr/local/etc/default/platterd
