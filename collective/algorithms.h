#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "collective/blocks.h"
#include "collective/plan.h"

// Collective algorithms as pure functions from a rank's place to its plan.  Times below are in the usual model: a
// message of S bytes takes alpha + S beta; n ranks; S bytes a rank (Thakur, Rabenseifner, Gropp: Optimization of
// Collective Communication Operations in MPICH, 2005).  Every function accepts any size >= 1 and gives an empty plan,
// or only copies, for 1.  Counts are in elements.
//
// "In place" is the caller's: kInput may be kOutput's memory (at the rank's own block where the lengths differ), unless
// an algorithm says that it needs them apart.
namespace mobula::collective {

struct Place {
  int rank = 0;
  int size = 1;
};

// Dissemination (Hensgen, Finkel, Manber 1988): ceil(lg n) rounds.
Plan barrier_dissemination(Place place);

// kOutput of the root becomes everybody's.
Plan broadcast_binomial(Place place, int root, std::size_t count);  // ceil(lg n) (alpha + S beta)
// Segments down a chain: (n - 2 + S/segment) (alpha + segment beta).
Plan broadcast_chain(Place place, int root, std::size_t count, std::size_t segment);
// Binomial scatter, then ring: lg n alpha + (n - 1) alpha + 2 (n - 1)/n S beta.
Plan broadcast_scatter_allgather(Place place, int root, std::size_t count);

// The root's kOutput becomes the reduction of all kInputs.
Plan reduce_binomial(Place place, int root, std::size_t count);
// Reduce-scatter around the ring, then gather to the root.
Plan reduce_ring_gather(Place place, int root, std::size_t count);

// Everybody's kOutput becomes the reduction of all kInputs, the same bits on every rank.
Plan allreduce_recursive_doubling(Place place, std::size_t count);  // lg n (alpha + S beta)
Plan allreduce_rabenseifner(Place place, std::size_t count);        // 2 lg n alpha + 2 (n - 1)/n S beta
Plan allreduce_ring(Place place, std::size_t count);                // 2 (n - 1) alpha + 2 (n - 1)/n S beta

// Rank r's kOutput (r's block long) becomes block r of the reduction of all kInputs.
Plan reduce_scatter_ring(Place place, const Blocks& blocks);      // (n - 1) (alpha + S/n beta)
Plan reduce_scatter_pairwise(Place place, const Blocks& blocks);  // the same messages, straight to whom they are for

// Everybody's kOutput becomes all kInputs (each its rank's block long) in rank order.
Plan allgather_ring(Place place, const Blocks& blocks);  // (n - 1) (alpha + S/n beta)
Plan allgather_bruck(Place place, std::size_t each);     // ceil(lg n) alpha + (n - 1)/n S beta; equal blocks

// The root's kOutput becomes all kInputs in rank order, and the reverse.
Plan gather_binomial(Place place, int root, std::size_t each);
Plan gather_linear(Place place, int root, const Blocks& blocks);
Plan scatter_binomial(Place place, int root, std::size_t each);
Plan scatter_linear(Place place, int root, const Blocks& blocks);

// Block s of rank r's kInput becomes block r of rank s's kOutput.  kInput and kOutput must not share memory.
Plan alltoall_pairwise(Place place, const Blocks& sends, const Blocks& receives);
Plan alltoall_bruck(Place place, std::size_t each);  // ceil(lg n) (alpha + S/2 beta)

// kOutput becomes the reduction of the kInputs of ranks 0 .. rank (inclusive) or 0 .. rank - 1 (exclusive: rank 0's
// kOutput is left as it is).  Hillis and Steele 1986: ceil(lg n) (alpha + S beta).
Plan scan(Place place, std::size_t count);
Plan exclusive_scan(Place place, std::size_t count);

}  // namespace mobula::collective
