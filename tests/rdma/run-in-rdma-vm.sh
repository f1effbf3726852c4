#!/usr/bin/env bash
# run-in-rdma-vm.sh [-t SECONDS] [-c CPUS] [-m MEMORY] [--] COMMAND [ARG...]
# Runs COMMAND in a throw-away virtual machine that has RDMA in software (rdma_rxe: a real /dev/infiniband, real
# ibv_* calls) and exits with COMMAND's exit code (125: the machine failed, 124: time is up, 77: this host cannot
# run one; the reason is printed).
#
# Needs neither root nor KVM nor kernel modules on the host: emulated (TCG), it boots in about 10 s.
#   apt-get install --no-install-recommends qemu-system-x86 busybox-static cpio kmod iproute2 rdma-core \
#     ibverbs-providers
# The guest sees the host's root file system read-only (9p) under a RAM overlay, so programs built on the host
# run unchanged, in the same directory; what they write is lost, except under $RDMA_VM_OUT (a host directory;
# in the guest: /run/vm).  PATH, LD_LIBRARY_PATH, UCX_*, MOBULA_*, GTEST_* and TEST_* are passed on.  Programs must not need
# AVX-512: the emulation has AVX2.
# Devices: rxe0 (10.78.0.1, netdev v0) and rxe1 (10.78.0.2, v1), joined by a veth "cable"; two processes may
# share one device or use one each.  They stay in the first network namespace: rxe of Linux 6.1 receives packets
# only there.
# The kernel is Debian's stock one, downloaded once (70 MB) and unpacked (405 MB, not installed) under $RDMA_VM_CACHE
# (default: ${XDG_CACHE_HOME:-~/.cache}/mobula/rdma-vm).
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
timeout=300 cpus=2 memory=2G
while getopts t:c:m: option; do
  case $option in t) timeout=$OPTARG ;; c) cpus=$OPTARG ;; m) memory=$OPTARG ;; *) exit 125 ;; esac
done
shift $((OPTIND - 1))

cannot() { echo "run-in-rdma-vm: skipped: $*" >&2; exit 77; }
[[ $(uname -m) == x86_64 ]] || cannot "the emulated machine is an x86-64, this host is not"
for program in qemu-system-x86_64 busybox cpio depmod modprobe apt-get dpkg flock; do
  command -v "$program" >/dev/null || cannot "this host lacks $program (see the list of packages in this script)"
done
[[ $(busybox --help 2>/dev/null) == *switch_root* ]] || cannot "busybox has no switch_root"

cache=${RDMA_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mobula/rdma-vm}
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/initrd/{bin,modules} "$work/out"
out=${RDMA_VM_OUT:-$work/out}

# 1. The kernel, once; whoever comes second waits.  (Debian's "cloud" kernel has no rdma_rxe.)
fetch_kernel() {
  local package version
  # Scripts of the package are not run, and apt may have to look for what is current.
  package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9]\)/\1/p' | head -1)
  [[ -n $package ]] || return 1
  version=${package#linux-image-}
  rm -rf "$cache/fetch" "$cache/kernel"
  mkdir -p "$cache/fetch"
  (cd "$cache/fetch" && apt-get download -qq -o APT::Sandbox::User=root "$package") || return 1
  dpkg -x "$cache/fetch/$package"_*.deb "$cache/kernel" || return 1
  depmod -b "$cache/kernel" "$version" || return 1
  rm -rf "$cache/fetch"
  echo "$version" >"$cache/ready"
}
(
  flock 9
  [[ -e $cache/ready ]] || fetch_kernel ||
    { [[ $EUID == 0 ]] && apt-get update -qq && fetch_kernel; } ||
    { echo "run-in-rdma-vm: no kernel package can be downloaded (apt-get download linux-image-amd64)" >&2; exit 1; }
) 9>"$cache/lock" || cannot "there is no kernel to boot"
version=$(cat "$cache/ready")
kernel=$cache/kernel

# 2. A tiny initramfs: busybox, and the modules needed to mount the host's files.
cp "$(command -v busybox)" "$work/initrd/bin/"
for module in virtio_pci 9pnet_virtio 9p overlay; do
  modprobe -d "$kernel" -S "$version" --show-depends "$module"
done | awk '!seen[$2]++ {print $2}' | nl -w3 -nrz | while read -r n file; do
  cp "$file" "$work/initrd/modules/$n.ko"
done
cat >"$work/initrd/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /dev /ro /rw /new; mount -t proc proc /proc; mount -t devtmpfs dev /dev
for m in /modules/*; do insmod $m; done
o=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o ro,cache=loose,$o host /ro; mount -t tmpfs tmpfs /rw; mkdir /rw/u /rw/w
mount -t overlay -o lowerdir=/ro,upperdir=/rw/u,workdir=/rw/w overlay /new
umount /proc; cd /new; mount -t proc proc proc; mount -t sysfs sys sys; mount --move /dev dev
mkdir -p dev/shm dev/pts; mount -t tmpfs shm dev/shm; mount -t devpts pts dev/pts
mount -t tmpfs run run; mkdir run/vm; chmod 1777 dev/shm
mount -t 9p -o $o out run/vm
exec switch_root /new /bin/bash /run/vm/.stage2
INIT
chmod +x "$work/initrd/init"
(cd "$work/initrd" && find . | cpio -o -H newc --quiet | gzip -1 >../initrd.gz)

# 3. What the guest does once the host's files are mounted.
{
  printf 'KDIR=%q K=%q CD=%q CMD=%q\n' "$kernel" "$version" "$PWD" "$(printf '%q ' "$@")"
  for v in $(compgen -e | grep -E '^(PATH|LD_LIBRARY_PATH|(UCX|MOBULA|GTEST|TEST)_.*)$'); do declare -p "$v"; done
  cat <<'STAGE2'
exec </dev/null; stty -opost </dev/ttyS0; set -e; trap 'sync; busybox poweroff -f' EXIT
export HOME=/root; hostname rdma-vm; ulimit -l unlimited
# UCX drops rxe's UD packets with IPv4 GIDs unless told not to check the destination GID; rc's wire-up is by UD.
export UCX_UD_VERBS_ETH_DGID_CHECK=${UCX_UD_VERBS_ETH_DGID_CHECK-n}
mkdir -p /lib/modules/$K; mount --bind $KDIR/lib/modules/$K /lib/modules/$K
modprobe -a rdma_rxe rdma_ucm veth
add() { ip addr add $2/24 dev $1; ip link set $1 mtu 4200 up; rdma link add $3 type rxe netdev $1; }
ip link set lo up; ip link add v0 type veth peer name v1
add v0 10.78.0.1 rxe0; add v1 10.78.0.2 rxe1
# Packets between v0 and v1 take the cable rather than "lo".
for i in 0 1; do d=v$i peer=10.78.0.$((2 - i)); echo 1 > /proc/sys/net/ipv4/conf/$d/accept_local
  ip route add $peer dev $d table 10$i; ip rule add pref 10 from 10.78.0.$((1 + i)) to $peer iif lo lookup 10$i; done
ip rule add pref 20 lookup local; ip rule del pref 0
for t in $(seq 50); do rdma link | grep -q 'state DOWN' || break; sleep 0.1; done
cd "$CD"; echo "run-in-rdma-vm: up after $(cut -d' ' -f1 /proc/uptime) s"
rc=0; bash -c "$CMD" || rc=$?; echo $rc > /run/vm/.rc
STAGE2
} >"$out/.stage2"
rm -f "$out/.rc"

# 4. Go.
rc=0
timeout -k 5 "$timeout" qemu-system-x86_64 -accel tcg -cpu max -smp "$cpus" -m "$memory" \
  -nodefaults -no-user-config -display none -no-reboot -serial stdio </dev/null \
  -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/initrd.gz" -append "console=ttyS0 loglevel=1 panic=-1" \
  -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
  -virtfs local,path="$out",mount_tag=out,security_model=none || rc=$?
[[ $rc != 124 ]] || exit 124
exit "$(cat "$out/.rc" 2>/dev/null || echo 125)"
