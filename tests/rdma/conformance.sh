#!/usr/bin/env bash
# conformance.sh PROGRAM...: runs the gtest programs given, and examples as clusters, over real RDMA verbs, in an emulated machine; with
# --inside it is that machine's part.  Fails unless packets went over the RDMA device, so that it cannot pass over
# something else.  Exit code 77: this machine cannot do it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

sent_packets() {
  local file sum=0
  for file in /sys/class/infiniband/rxe*/ports/1/hw_counters/sent_pkts; do sum=$((sum + $(<"$file"))); done
  echo "$sum"
}

# A whole cluster of two nodes whose workers call each other over the verbs.
run_cluster() {
  local before
  before=$(sent_packets)
  mkdir -m 700 /tmp/mobula-rdma
  MOBULA_TMPDIR=/tmp/mobula-rdma MOBULA_NODES=2 MOBULA_NODE_LINK=ucx MOBULA_STORE_BYTES=67108864 timeout 60 "$1"
  echo "rdma_conformance: the cluster sent $(($(sent_packets) - before)) packets"
  (($(sent_packets) - before > 10)) || return 1
  local left
  left=$(ls -A /tmp/mobula-rdma; pgrep -l '^mobula-' || true)
  [[ -z $left ]] || { echo "rdma_conformance: the cluster left behind: $left" >&2; return 1; }
}

inside() {
  local before after program failed=0
  before=$(sent_packets)
  for program in "$@"; do
    case $program in
      */examples/*) run_cluster "$program" || failed=1 ;;
      *) "$program" || failed=1 ;;
    esac
  done
  after=$(sent_packets)
  echo "rdma_conformance: $((after - before)) packets were sent by the RDMA devices"
  if ((after - before < 1000)); then
    echo "rdma_conformance: too few: the tests did not use RDMA" >&2
    failed=1
  fi
  return $failed
}

if [[ ${1-} == --inside ]]; then
  shift
  inside "$@"
  exit
fi

# In emulation a worker takes a quarter of a second to start, and a connection as long: a test or two of each kind.
tests='Backends/Conformance.EagerAndRendezvousMessagesKeepTheirOrder/*'
tests+=':Backends/Conformance.PartOfAMemoryFileIsReadAndWritten/*'
tests+=':Backends/Conformance.KeysThatWereNotGivenAreRefused/*'
tests+=':Backends/Conformance.ClosingAnEndpointCancelsWhatIsUnderWay/*'
tests+=':Backends/Conformance.AnArmedWorkerSleepsUntilSomethingComes/*'
tests+=':Backends/ProcessConformance.*:Backends/Kills.AKilledPeerIsLostWhileIdle/*'
tests+=':Backends/Kills.AKilledPeerIsLostWhileMessagesFlow/*:Backends/Kills.AKilledPeerEndsTransfersUnderWay/*'
tests+=':OverRdma.*'
export MOBULA_TEST_EMULATED=1 GTEST_FILTER=${GTEST_FILTER-$tests}
# Pinning a page takes the emulated kernel long, and so does looking through 1024 GIDs for the best (1 is the IPv4 one).
export UCX_IB_GID_INDEX=1
export UCX_RC_VERBS_RX_QUEUE_LEN=128 UCX_UD_VERBS_RX_QUEUE_LEN=128
export UCX_RC_VERBS_TX_BUFS_GROW=32 UCX_UD_VERBS_TX_BUFS_GROW=32
exec "$here/run-in-rdma-vm.sh" -t 170 -- bash "$here/conformance.sh" --inside "$@"
