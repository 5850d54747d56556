# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2034 # some of its variables are for the script that sources it
# The guest: its kernel, its initramfs, and how it is booted. Needs no privileges and installs nothing.

# What the initramfs gets: kernel modules (with what they depend on) and programs (with their libraries).
guest_modules=(virtio_pci virtio_net nbd xfs nf_tables tls gcm ctr ghash-generic chacha20poly1305 chacha_generic poly1305_generic)
guest_programs=(chrt nbd-client mkfs.ext4 e2fsck resize2fs mkfs.xfs xfs_repair nbdcopy fio nft)

# For users who are not root, too.
PATH=$PATH:/usr/sbin:/sbin

die() {
    echo "$0: $*" >&2
    exit 2
}

# need PROGRAM=PACKAGE...: fails with the list of what is to be installed.
need() {
    local item missing=()
    for item; do
        command -v "${item%=*}" >/dev/null || missing+=("${item#*=}")
    done
    [ ${#missing[@]} -eq 0 ] || die "not installed: ${missing[*]}"
}

# fetch_kernel CACHE: leaves Debian's cloud kernel in CACHE/kernel (boot/vmlinuz, lib/modules) and its release in $kernel_release.
# Whatever is there is used again, without asking for a newer one: remove the folder for that.
fetch_kernel() {
    local cache=$1 package new
    if ! [ -d "$cache/kernel" ]; then
        mkdir -p "$cache"
        new=$(mktemp -d "$cache/new.XXXXXX")
        temporary+=("$new")
        package=$(apt-cache depends linux-image-cloud-amd64 |
            sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p')
        [ -n "$package" ] || die "apt knows no linux-image-cloud-amd64: try apt-get update"
        echo "# fetching $package"
        # As root, apt warns that its own user cannot write here; it downloads all the same.
        (cd "$new" && apt-get -qq download "$package" 2>apt.log) ||
            { cat "$new/apt.log" >&2; die "cannot download $package"; }
        dpkg -x "$new/$package"_*.deb "$new/kernel"
        depmod -b "$new/kernel" "$(ls "$new/kernel/lib/modules")"
        mv "$new/kernel/boot/vmlinuz-"* "$new/kernel/boot/vmlinuz"
        # Complete, so it may have its name; another run may have been faster.
        mv -T "$new/kernel" "$cache/kernel" 2>/dev/null || [ -d "$cache/kernel" ]
        rm -rf "$new"
    fi
    kernel=$cache/kernel
    kernel_release=$(ls "$kernel/lib/modules")
}

# install_program ROOT PROGRAM: copies a program, by its name or path, and the shared libraries that it is linked to, each
# to its own path.
install_program() {
    local root=$1 path library
    path=$(command -v "$2")
    install -D "$path" "$root/bin/$(basename "$2")"
    ldd "$path" | grep -o '/[^ ]*' | while read -r library; do
        [ -e "$root$library" ] || install -D "$library" "$root$library"
    done
}

# fill_root TEMP GUEST SCENARIO...: what the guest has in TEMP/root, from the folder GUEST of scripts; to its /tree goes a real
# tree of files (a part of the kernel package), with checksums made here.
fill_root() {
    local temp=$1 guest=$2 root=$1/root modules=lib/modules/$kernel_release name
    shift 2
    mkdir -p "$root"/{bin,dev,etc,mnt,proc,run,sys,tmp,scenarios,tree} "$root/$modules"
    install "$(command -v busybox)" "$root/bin/busybox"
    install -m 644 "$guest/../guest/lib.sh" "$root/lib.sh"
    for name; do
        install -m 644 "$guest/$name.sh" "$root/scenarios/"
    done
    for name in "${guest_programs[@]}"; do
        install_program "$root" "$name"
    done

    modprobe -d "$kernel" -S "$kernel_release" --show-depends -a "${guest_modules[@]}" |
        sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | xargs cp -t "$root/$modules"
    # Not every kernel reads compressed ones, and complains of each.
    find "$root/$modules" -name '*.ko.xz' -exec xz -d {} +
    cp "$kernel/$modules"/modules.{order,builtin,builtin.modinfo} "$root/$modules"
    depmod -b "$root" "$kernel_release"

    cp -a "$kernel/$modules/kernel/"{crypto,net/bridge,net/sched} "$root/tree"
    (cd "$root/tree" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$root/tree.sha256"
}

# pack_root TEMP: into TEMP/initramfs.
pack_root() {
    # Not compressed: unpacking costs the emulated processor more than reading.
    (cd "$1/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$1/initramfs"
}

# boot TEMP MEGABYTES OPTIONS: starts the guest. Its second serial port is our line to it, through the descriptors $from_guest and
# $to_guest; the first one is the kernel's console, in TEMP/console.
boot() {
    local temp=$1 memory=$2 options=$3
    mkfifo "$temp/to_guest"
    exec {to_guest}<>"$temp/to_guest"
    # In a process substitution the read end sees the end of file when QEMU ends, however it does.
    # KVM is not relied on: a guest may hang in it where it is nested. With -cpu max the guest has random numbers at once.
    # QEMU 7.2 leaves wrong flags behind cmpxchg16b, which Linux 6.12 doesn't survive.
    exec {from_guest}< <(exec qemu-system-x86_64 -accel tcg,thread=multi -cpu max,cx16=off -smp 2 -m "$memory" \
        -nodefaults -no-user-config -no-reboot -display none \
        -kernel "$kernel/boot/vmlinuz" -initrd "$temp/initramfs" \
        -append "console=ttyS0 panic=-1 $options" \
        -nic user,model=virtio-net-pci \
        -chardev stdio,id=line,signal=off -serial "file:$temp/console" -serial chardev:line \
        <"$temp/to_guest" 2>"$temp/qemu.log")
    qemu=$!
}
