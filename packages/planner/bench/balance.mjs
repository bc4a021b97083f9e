// Plans every batch with every policy, verifies nothing (the tests do), and gathers imbalance, partial slots and bytes.
//
// Imbalance is makespan ÷ LB* in the device's own cost, merges apart. Batches are grouped by tiles of work per worker,
// because a lower bound says little where a worker has hardly any work.

import { collectJobs, createPlanner, Jobs, PolicyNotApplicableError, workerCount } from "../dist/index.js";

/** Lower edges of the groups, in KV tiles of work for each worker. */
const GROUP_EDGES = [0, 8, 16, 32, 64];
export const GROUPS = ["<8", "8–16", "16–32", "32–64", "64+"];

export function measureBalance(policies, batches, device) {
  const devices = new Map();
  const deviceOf = (smCount) => {
    if (!devices.has(smCount)) devices.set(smCount, smCount === device.smCount ? device : { ...device, smCount });
    return devices.get(smCount);
  };
  const groupOf = batches.map((batch) => groupIndex(tilesPerWorker(batch, deviceOf(batch.smCount))));
  return policies.map((policy) => {
    const results = batches.map((batch, i) => ({
      count: batch.count,
      group: groupOf[i],
      ...planOnce(policy, batch, deviceOf(batch.smCount)),
    }));
    console.error(`planned ${policy}`);
    return summarise(policy, results, batches);
  });
}

function planOnce(policy, { attention, batch }, device) {
  try {
    const plan = createPlanner({ attention, device, policy }).plan(batch);
    const { imbalance, partialSlots } = plan.stats;
    const slotBound = 2 * (workerCount(device) - 1);
    return { imbalance, partialSlots, isOverSlotBound: partialSlots > slotBound, bytes: plan.usedBytes };
  } catch (error) {
    if (error instanceof PolicyNotApplicableError) return { notApplicable: error.reason };
    throw error;
  }
}

function summarise(policy, results, batches) {
  const planned = results.filter((result) => result.notApplicable === undefined);
  return {
    policy,
    planned: sum(planned, () => 1),
    notApplicable: sum(results, () => 1) - sum(planned, () => 1),
    groups: GROUPS.map((name, group) => ({ tilesPerWorker: name, ...imbalances(planned, (r) => r.group === group) })),
    /** All with at least 8 tiles of work per worker. */
    from8: imbalances(planned, (r) => r.group >= 1),
    worstBatch: batches[results.indexOf(worst(planned.filter((r) => r.group >= 1)))]?.id,
    partialSlots: {
      mean: mean(planned, (r) => r.partialSlots),
      most: planned.reduce((most, r) => Math.max(most, r.partialSlots), 0),
      batchesOverBound: sum(planned, (r) => (r.isOverSlotBound ? 1 : 0)),
    },
    bytes: { mean: mean(planned, (r) => r.bytes), most: planned.reduce((most, r) => Math.max(most, r.bytes), 0) },
  };
}

function imbalances(results, belongs) {
  const members = results.filter(belongs);
  if (members.length === 0) return { batches: 0 };
  return {
    batches: sum(members, () => 1),
    mean: mean(members, (r) => r.imbalance),
    worst: worst(members).imbalance,
  };
}

function worst(results) {
  return results.reduce((a, b) => (a === undefined || b.imbalance > a.imbalance ? b : a), undefined);
}

/** Sums count as often as a batch was recorded. */
function sum(results, value) {
  return results.reduce((total, result) => total + result.count * value(result), 0);
}

function mean(results, value) {
  const count = sum(results, () => 1);
  return count === 0 ? 0 : sum(results, value) / count;
}

function tilesPerWorker({ attention, batch }, device) {
  const jobs = new Jobs();
  collectJobs(jobs, attention, device.costModel, batch.qoLens, batch.kvLens, batch.qoLens.length);
  let tiles = 0;
  for (let j = 0; j < jobs.count; j++) tiles += jobs.tiles[j];
  return (tiles * jobs.headCount) / workerCount(device);
}

function groupIndex(tiles) {
  return GROUP_EDGES.findLastIndex((edge) => tiles >= edge);
}
