/*
 * turn: how long the consumers of streams may keep the event loop.
 *
 * A page that has arrived can be handed out without waiting for anything, record after record, and then the next one,
 * which was fetched meanwhile: promises alone would never let the event loop go on. So after a slice of time a stream
 * waits for a turn of the loop. The slice is shared by all streams of the process, and only one of them goes on in each
 * turn.
 */
import { performance } from "node:perf_hooks"
import { setImmediate } from "node:timers"

const SLICE_MS = 1

/** @type {number | undefined} */
let began
/** @type {(() => void)[]} */
const waiting = []

function turned() {
  began = undefined
  const first = waiting.shift()
  if (first === undefined) return
  start()
  first()
}

function start() {
  began = performance.now()
  setImmediate(turned)
}

/** Has this turn of the event loop lasted long enough? */
export function isTurnOver() {
  if (began === undefined) {
    start()
    return false
  }
  return performance.now() - began >= SLICE_MS
}

/** Calls back in a later turn of the event loop. */
export function nextTurn(callback) {
  if (began === undefined) start()
  waiting.push(callback)
}
