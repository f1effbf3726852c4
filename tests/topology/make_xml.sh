#!/usr/bin/env bash
# make_xml.sh NAME OUT: writes the hwloc XML of a machine that tests know by name.  The files of real machines have
# up to 10,000 lines; these say the same and are made when needed, with hwloc's own tools.
set -euo pipefail
name=$1 out=$2

# A GPU and the NIC beside it behind one PCI switch: bus of the switch, number, vendor and device of the GPU.
pair() {
  local bus=$1 n=$2 gpu next nic
  gpu=$(printf '%02x' $((0x$bus + 1))) nic=$(printf '%02x' $((0x$bus + 2)))
  cat <<XML
<object type="Bridge" bridge_type="0-1" depth="0" bridge_pci="0000:[$bus-$nic]" gp_index="$((9000 + n * 10))">
<object type="Bridge" bridge_type="1-1" depth="1" bridge_pci="0000:[$gpu-$nic]" pci_busid="0000:$bus:01.0" pci_type="0604 [1000:c030] [0000:0000] 00" pci_link_speed="63.0" gp_index="$((9001 + n * 10))">
<object type="PCIDev" pci_busid="0000:$gpu:00.0" pci_type="0302 [10de:2330] [10de:16c1] a1" pci_link_speed="63.0" gp_index="$((9002 + n * 10))">
<object type="OSDev" name="cuda$n" subtype="CUDA" osdev_type="5" gp_index="$((9003 + n * 10))"><info name="GPUModel" value="NVIDIA H100 80GB HBM3"/></object>
<object type="OSDev" name="nvml$n" subtype="NVML" osdev_type="1" gp_index="$((9004 + n * 10))"><info name="NVIDIAUUID" value="GPU-00000000-0000-0000-0000-00000000000$n"/></object>
</object>
<object type="PCIDev" pci_busid="0000:$nic:00.0" pci_type="0207 [15b3:1021] [15b3:0041] 00" pci_link_speed="63.0" gp_index="$((9005 + n * 10))">
<object type="OSDev" name="mlx5_$n" osdev_type="3" gp_index="$((9006 + n * 10))"/>
</object></object></object>
XML
}

# Puts `per_package` pairs under each package of the file.
with_pairs() {
  local per_package=$1 n=0 line
  while IFS= read -r line; do
    if [[ $line == *'</object>'* && $line =~ ^\ {4}\</object\> ]]; then
      local i
      for ((i = 0; i < per_package; i++, n++)); do pair "$(printf '%02x' $((0x10 + n * 16)))" "$n"; done
    fi
    printf '%s\n' "$line"
  done
}

synthetic() { lstopo-no-graphics --of xml --input "$1" "${@:2}" -; }

case $name in
  dual-epyc-9654) synthetic 'pack:2 [numa(memory=412316860416)] l3:12 core:8 pu:2' >"$out" ;;
  dual-epyc-9654-nps4) synthetic 'pack:2 group:4 [numa(memory=103079215104)] l3:3 core:8 pu:2' >"$out" ;;
  dual-sapphire-rapids) synthetic 'pack:2 [numa(memory=274877906944)] l3:1 core:56 pu:2' >"$out" ;;
  dgx-h100)
    synthetic 'pack:2 [numa(memory=1099511627776)] l3:1 core:56 pu:2' | with_pairs 4 >"$out.plain"
    {
      echo 'name=NVLinkBandwidth'
      echo 10  # From the user, a bandwidth.
      echo 8
      for n in {0..7}; do echo "os=nvml$n"; done
      for a in {0..7}; do for b in {0..7}; do ((a == b)) && echo 900000 || echo 450000; done; done
    } >"$out.links"
    hwloc-annotate "$out.plain" "$out" -- root -- distances "$out.links"
    rm "$out.plain" "$out.links" ;;
  small-dgx) synthetic 'pack:2 [numa(memory=68719476736)] l3:1 core:4 pu:1' | with_pairs 2 >"$out" ;;
  limited-cpuset)  # What a job sees that was given PUs 4-11 of the first package of a node with 64.
    synthetic 'pack:2 [numa(memory=68719476736)] l3:4 core:4 pu:2' --restrict 0xff0 >"$out" ;;
  *) echo "no machine is called $name" >&2; exit 1 ;;
esac
