# shellcheck shell=bash
# private_tmp PATH...: gives this mount namespace an empty /tmp in which only these paths of the old one are seen.
private_tmp() {
  local old path
  exec {old}</tmp
  mount -t tmpfs -o mode=1777 tmpfs /tmp
  for path; do
    if [[ $path != /tmp/* ]]; then continue; fi
    mkdir -p "$path"
    # As written: the path's text would lead to the new /tmp.
    mount --no-canonicalize --bind "/proc/self/fd/$old${path#/tmp}" "$path"
  done
  exec {old}<&-
}
