#!/bin/bash
# check_directions.sh SOURCE: dependencies between folders point one way (directions.txt), and each third-party
# library of the list below is included by one folder.
set -euo pipefail
cd "$1"
rules=tests/link/directions.txt
failed=0

fail() {
  echo "$1" >&2
  failed=1
}

declare -A allowed
folders=()
while IFS=: read -r folder targets; do
  allowed[$folder]=$targets
  folders+=("$folder")
done < <(grep -v '^#' "$rules")

# The longest folder of the rules that a path lies in.
folder_of() {
  local best='' folder
  for folder in "${folders[@]}"; do
    if [[ $1 == "$folder"/* && ${#folder} -gt ${#best} ]]; then best=$folder; fi
  done
  owner=$best
}

existing=()
for folder in core scheduler objstore transport collective slurm examples bench tests; do
  if [[ -d $folder ]]; then existing+=("$folder"); fi
done

while IFS=: read -r file include; do
  include=${include#*\"}
  include=${include%%\"*}
  folder_of "$file"; from=$owner
  folder_of "$include"; to=$owner
  if [[ -z $from || -z $to || $from == "$to" ]]; then continue; fi
  list=" ${allowed[$from]} "
  if [[ $list == *" $to "* ]]; then continue; fi
  if [[ $list == *" * "* && $to != bench && $to != tests ]]; then continue; fi
  fail "$file includes $include: $from may use only:${allowed[$from]}"
done < <(grep -rEo --include='*.h' --include='*.cc' --include='*.cpp' '^ *# *include +"[^"]+"' "${existing[@]}")

# only PATTERN FOLDER...: headers that match are included there and nowhere else.
only() {
  local pattern=$1 file folder fine
  shift
  while IFS= read -r file; do
    fine=no
    for folder in "$@"; do
      if [[ $file == "$folder"/* ]]; then fine=yes; fi
    done
    if [[ $fine == no ]]; then fail "$file includes <$pattern...>, which belongs to: $*"; fi
  done < <(grep -rlE --include='*.h' --include='*.cc' --include='*.cpp' "^ *# *include +[<\"]($pattern)" "${existing[@]}" || true)
}

only 'ucp/|uct/|ucs/' transport/ucx tests/transport/ucx bench
only 'nccl|cuda' collective/nccl bench
only 'hwloc' core/os
only 'rdma/|infiniband/' transport/ofi transport/ucx tests/transport/ofi
only 'mpi\.h' bench examples tests/slurm
only 'grpc' bench
only 'pmix|slurm/(slurm|spank)' slurm
only 'spdlog/' core/os
only 'openssl/' core/crypto

exit $failed
