/*
 * session: the connection to the daemon, and the promises that outlive it.
 *
 * Calls are queued and, at the end of the microtask, handed to the socket in one write. They stay queued until their
 * reply is there. When the connection is lost, the session connects again, says hello under the same sixteen bytes, and
 * sends everything unanswered again under the same ids: the daemon carries out nothing twice (PROTOCOL.md, Sessions and
 * Sending again). Only a refusal, a peer that speaks something else, or reconnect.maxAttempts ends it.
 */
import { accessSync, constants } from "node:fs"
import { createConnection } from "node:net"
import process from "node:process"
import { CODE, DaemonStoreError, isOutside } from "./errors.js"
import { Inbox } from "./inbox.js"
import {
  CLOSE,
  EVENT_DRAINING,
  HELLO_ID,
  OPERATIONS,
  PROTOCOL_VERSION,
  readError,
  readHello,
  RESUME,
} from "./messages.js"
import { FrameWriter } from "./msgpack.js"
import { Call, Queue } from "./queue.js"

/** So much may lie in the socket's own queue; what is behind it waits in ours. */
const SOCKET_QUEUE_MAX = 1024 * 1024

/** One piece handed to the socket. */
const PIECE_MAX = 256 * 1024

/** A connection that lasted so long did work, whatever came of it. */
const WORKED_MS = 1000

/** An idle session keeps the process so long. */
const IDLE_MS = 20

/** Failures to connect that waiting does not mend. */
const HOPELESS = new Set(["EACCES", "EPERM", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EPROTOTYPE", "EAFNOSUPPORT", "EINVAL"])

/**
 * Why no connection came about. Not every runtime says what the kernel said, so a file that cannot be reached or written
 * is looked for where it is not named.
 */
function failureToConnect(path, failure) {
  const code = failure?.code ?? failure?.message ?? "closed by the daemon"
  if (HOPELESS.has(code)) return code
  try {
    accessSync(path, constants.W_OK)
  } catch (error) {
    const found = /** @type {any} */ (error).code
    if (HOPELESS.has(found)) return found
  }
  return code
}

/** Refusals of a hello that pass by themselves. */
function mayPass(code) {
  return code === CODE.BUSY || code === CODE.TOO_MANY_CONNECTIONS || code === CODE.DRAINING
}

export class Session {
  /**
   * @param {{path: string, hello: Uint8Array, reconnect: {enabled: boolean, maxAttempts: number, baseDelay: number, maxDelay: number}}} options
   * @param {{state(state: string, error?: Error): void, room(): void, lostWrites(error: Error): void, ended(error: Error): void}} listener
   */
  constructor(options, listener) {
    this.path = options.path
    this.hello = options.hello
    this.reconnect = options.reconnect
    this.listener = listener
    this.writer = new FrameWriter()
    this.queue = new Queue(this.writer)
    /** connecting: no hello answered yet, or not again. closed: for good. */
    this.phase = /** @type {"waiting" | "hello" | "ready" | "closed"} */ ("waiting")
    this.endedBy = /** @type {Error | null} */ (null)
    this.daemon = ""
    this.layout = 0
    this.frameLimit = 64 * 1024 * 1024
    this.connects = 0
    this.resent = 0
    this.duplicates = 0

    this.socket = /** @type {import("node:net").Socket | null} */ (null)
    this.timer = /** @type {ReturnType<typeof setTimeout> | null} */ (null)
    this.attempts = 0
    this.failures = 0
    this.answered = false
    this.readyAt = 0
    this.through = 0
    this.acknowledged = 0
    this.inFlightLimit = 1024
    this.draining = false
    this.leaving = false
    this.scheduled = false

    this.opening = true
    this.held = true
    this.idleTimer = /** @type {ReturnType<typeof setTimeout> | null} */ (null)
    this.group = newGroup()
    this.oldestGroup = this.group
    this.transmit = this.transmit.bind(this)
  }

  open() {
    this.#connect()
  }

  /* ---- calls ---- */

  /** Queue a call. Its frame lies in the writer, whole. */
  submit(call) {
    const writer = this.writer
    call.arena = writer.take()
    call.start = writer.start
    call.end = writer.at
    writer.end()
    call.group = this.group
    this.group.left++
    this.queue.place(call)
    if (!this.held) this.#hold(true)
    this.schedule()
  }

  /** Nobody wants its answer any more. */
  abandon(call) {
    call.answered = null
    call.failed = null
    if (!call.touched && this.phase !== "closed" && call.arena !== null) this.#finish(call)
  }

  /** Writes to documents with a failed write are taken again, from here on. */
  resume() {
    const call = new Call(RESUME, null)
    this.begin(call, 2)
    this.queue.beginEpoch()
    this.submit(call)
  }

  /** Begin the frame of a call of so many elements. */
  begin(call, elements) {
    call.id = this.queue.nextId
    this.writer.begin(call.id, call.op, elements)
    this.queue.takeId()
  }

  /** Resolves when everything queued so far is answered. */
  barrier() {
    const group = this.group
    if (this.oldestGroup === group && group.left === 0) return Promise.resolve()
    return new Promise(resolve => {
      group.waiting = resolve
      this.group = newGroup()
      group.later = this.group
    })
  }

  #finish(call) {
    const group = call.group
    this.queue.remove(call)
    group.left--
    if (group.left === 0) this.#endGroups()
    this.listener.room()
    if (this.queue.count === 0) this.#hold(false)
  }

  #endGroups() {
    while (this.oldestGroup.left === 0 && this.oldestGroup.later !== null) {
      const group = this.oldestGroup
      this.oldestGroup = group.later
      group.waiting()
    }
  }

  /** Everything is answered: end the session, and the connection. */
  async close() {
    if (this.phase === "closed") return
    if (this.phase === "waiting" && this.queue.count === 0) {
      // Then it is only about the daemon's memory of the session, which ends by itself some day.
      this.#closed()
      return
    }
    await new Promise(resolve => {
      const call = new Call(CLOSE, null)
      call.answered = resolve
      call.failed = resolve
      this.begin(call, 2)
      this.submit(call)
    })
    this.#closed()
  }

  #closed() {
    if (this.phase === "closed") return
    this.#dropSocket()
    this.phase = "closed"
    const error = new DaemonStoreError(CODE.CLOSED, "the store is closed")
    this.endedBy = error
    for (let call = this.queue.first; call !== null; call = this.queue.first) {
      this.queue.remove(call)
      call.failed?.(this.#endingOf(call, error))
    }
    this.#release()
    this.listener.state("closed")
  }

  /** For good: nothing more can be asked. */
  end(error) {
    if (this.phase === "closed") return
    this.#dropSocket()
    this.phase = "closed"
    this.endedBy = error
    this.opening = false
    const queue = this.queue
    let settled = 0
    for (let call = queue.first; call !== null; call = queue.first) {
      queue.remove(call)
      call.group.left--
      if (call.settled) settled++
      else call.failed?.(this.#endingOf(call, error))
    }
    if (settled > 0)
      this.listener.lostWrites(
        new DaemonStoreError(error.number ?? CODE.SOCKET, `${settled} writes were not answered: ${error.message}`, {
          outcome: "unknown",
          cause: error,
        }),
      )
    this.#endGroups()
    this.#release()
    this.listener.ended(error)
    this.listener.room()
    this.listener.state("closed", error)
  }

  #endingOf(call, error) {
    return new DaemonStoreError(error.number ?? CODE.SOCKET, error.message, {
      outcome: call.isWrite ? (call.touched ? "unknown" : "not-applied") : undefined,
      operation: OPERATIONS[call.op],
      docId: call.doc ?? undefined,
      reason: error.reason,
      cause: error,
    })
  }

  /* ---- keeping the process ---- */

  /** A session with something to do keeps the process alive; an idle one does not, after a moment. */
  #hold(busy) {
    if (busy) {
      this.held = true
      this.socket?.ref()
      this.timer?.ref()
    } else if (this.idleTimer === null && !this.opening) {
      this.idleTimer = setTimeout(() => {
        this.idleTimer = null
        if (this.queue.count > 0 || this.opening || this.phase === "closed") return
        this.held = false
        this.socket?.unref()
        this.timer?.unref()
      }, IDLE_MS)
    }
  }

  #release() {
    if (this.timer !== null) clearTimeout(this.timer)
    if (this.idleTimer !== null) clearTimeout(this.idleTimer)
    this.timer = null
    this.idleTimer = null
  }

  /* ---- connecting ---- */

  #connect() {
    this.timer = null
    if (this.phase === "closed") return
    this.phase = "hello"
    const inbox = new Inbox(reader => {
      this.#frame(reader)
      return this.socket === socket
    })
    const onread = {
      buffer: inbox.buffer,
      callback: (/** @type {number} */ size) => {
        if (this.socket === socket) this.#receive(socket, inbox, size)
        return true
      },
    }
    const socket = createConnection({ path: this.path, onread })
    let failure = /** @type {any} */ (null)
    let connected = false
    this.socket = socket
    if (!this.held) socket.unref()
    socket.on("connect", () => {
      connected = true
      if (this.socket === socket) socket.write(this.hello)
    })
    socket.on("drain", () => {
      if (this.socket === socket) this.transmit()
    })
    socket.on("error", error => {
      failure = error
    })
    socket.on("close", () => {
      if (this.socket !== socket) return
      const why = connected ? (failure?.code ?? "closed by the daemon") : failureToConnect(this.path, failure)
      const what = connected ? `the connection to ${this.path} was lost` : `cannot connect to ${this.path}`
      const error = new DaemonStoreError(CODE.SOCKET, `${what}: ${why}`, { cause: failure ?? undefined })
      if (!connected && HOPELESS.has(why)) this.end(error)
      else this.#lost(error)
    })
  }

  #dropSocket() {
    const socket = this.socket
    this.socket = null
    socket?.destroy()
    this.draining = false
    this.leaving = false
  }

  #lost(error) {
    if (this.phase === "closed") return
    const first = this.queue.first
    if (first !== null && first.op === CLOSE) {
      // It goes when nothing else is left, and hosts and the daemon often stop together: none waits for the other.
      this.#fail(first, error)
      return
    }
    if (!this.reconnect.enabled) {
      this.end(error)
      return
    }
    if (this.phase === "ready" && (this.answered || Date.now() - this.readyAt >= WORKED_MS)) {
      this.attempts = 0
      this.failures = 0
    } else {
      this.failures++
    }
    this.#dropSocket()
    this.phase = "waiting"
    if (this.failures >= this.reconnect.maxAttempts) {
      this.end(error)
      return
    }
    this.queue.lost()
    this.timer = setTimeout(() => this.#connect(), this.#delay())
    if (!this.held) this.timer.unref()
    this.listener.state("connecting", error)
  }

  /** The first attempt after a connection that worked comes soon; then the wait doubles. */
  #delay() {
    const { baseDelay, maxDelay } = this.reconnect
    const most = Math.min(maxDelay, baseDelay * 2 ** Math.min(Math.max(this.attempts - 1, 0), 30))
    const delay = this.attempts === 0 ? Math.random() * most : most / 2 + (Math.random() * most) / 2
    this.attempts++
    return delay
  }

  #ready(hello) {
    this.phase = "ready"
    this.daemon = hello.daemon
    this.layout = hello.layout
    this.through = hello.through
    this.frameLimit = hello.frameLimit
    this.inFlightLimit = hello.inFlightLimit
    this.connects++
    this.answered = false
    this.readyAt = Date.now()
    this.#compareSessions(hello.through)
    this.opening = false
    this.listener.state("ready")
    this.transmit()
    if (this.queue.count === 0) this.#hold(false)
  }

  /** Does the daemon still know what it acknowledged? */
  #compareSessions(through) {
    if (through >= this.acknowledged) return
    if (through === 0) {
      const error = new DaemonStoreError(
        CODE.SOCKET,
        "the daemon has forgotten the session, and with it what became of the write",
        { outcome: "unknown" },
      )
      for (let call = this.queue.first, following; call !== null; call = following) {
        following = call.following
        if (!call.isWrite || !call.touched) continue
        this.queue.latch(call, error.number, error.message)
        this.#fail(call, this.#endingOf(call, error))
      }
    }
    this.acknowledged = through
    this.listener.lostWrites(
      new DaemonStoreError(
        CODE.IO_ERROR,
        "writes that were acknowledged as committed, not as synced, were lost with the power",
        { outcome: "unknown" },
      ),
    )
  }

  #protocolError(what) {
    this.end(new DaemonStoreError(CODE.PROTOCOL, `${this.path}: ${what}`))
  }

  /* ---- writing ---- */

  schedule() {
    if (this.scheduled) return
    this.scheduled = true
    queueMicrotask(this.transmit)
  }

  /** Hand to the socket what may go, in one write. */
  transmit() {
    this.scheduled = false
    const { queue, socket } = this
    if (this.phase !== "ready" || this.leaving || socket === null || queue.next === null) return
    if (socket.writableLength > SOCKET_QUEUE_MAX) return
    let arena = null
    let start = 0
    let end = 0
    let taken = socket.writableLength
    let corked = false
    while (queue.next !== null && queue.onWire < this.inFlightLimit && taken <= SOCKET_QUEUE_MAX) {
      const call = queue.next
      if (queue.anyLatched && call.isWrite && this.#refuse(call)) continue
      if (queue.isTooFarAhead(call, this.inFlightLimit)) break
      if (call.touched) this.resent++
      queue.sent()
      taken += call.end - call.start
      if (arena === call.arena && end === call.start && end - start < PIECE_MAX) {
        end = call.end
        continue
      }
      if (arena !== null) {
        if (!corked) {
          corked = true
          socket.cork()
        }
        socket.write(arena.bytes.subarray(start, end))
      }
      arena = call.arena
      start = call.start
      end = call.end
    }
    if (arena !== null) socket.write(arena.bytes.subarray(start, end))
    if (corked) socket.uncork()
  }

  /**
   * A write to a latched document. If its id is not above `through`, it may have been carried out on an earlier
   * connection: the daemon, asked again, tells, and does nothing. If it is above, it was not carried out, and must not be.
   */
  #refuse(call) {
    if (call.id <= this.through && call.touched) return false
    const latch = this.queue.latchOf(call)
    if (latch === undefined) return false
    this.#fail(
      call,
      new DaemonStoreError(latch.code, `an earlier write to the document failed: ${latch.message}`, {
        outcome: "not-applied",
        operation: OPERATIONS[call.op],
        docId: call.doc ?? undefined,
      }),
    )
    return true
  }

  #fail(call, error) {
    const failed = call.failed
    this.#finish(call)
    failed?.(error)
  }

  /* ---- reading ---- */

  /** So many bytes have come into the inbox. */
  #receive(socket, inbox, size) {
    if (!inbox.receive(size)) this.#protocolError("sent a frame of an impossible length")
    if (this.socket !== socket) return
    if (this.leaving && this.queue.onWire === 0) this.#leave()
    else if (this.queue.next !== null) this.schedule()
  }

  #frame(reader) {
    try {
      const elements = reader.array()
      const id = reader.uint()
      const code = reader.uint()
      if (code > 999) throw new RangeError("an error that no daemon knows")
      if (this.phase === "hello") this.#helloAnswered(reader, elements, id, code)
      else if (id === 0) this.#unasked(reader, elements, code)
      else this.#answer(reader, elements, id, code)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#protocolError(`sent something that is no message of the protocol (${error.message})`)
    }
  }

  #helloAnswered(reader, elements, id, code) {
    if (id > HELLO_ID) throw new RangeError("hello was answered with something else")
    if (id === 0) {
      this.#unasked(reader, elements, code)
    } else if (code !== 0) {
      this.#refused(readError(reader, code, elements))
    } else {
      const hello = readHello(reader, elements)
      if (hello.version !== PROTOCOL_VERSION) throw new RangeError("a version of the protocol that was not offered")
      this.#ready(hello)
    }
  }

  #unasked(reader, elements, code) {
    if (code >= 100) {
      this.#refused(readError(reader, code, elements))
      return
    }
    // Without reconnecting there is nothing better than to go on until the daemon closes.
    if (code !== EVENT_DRAINING || !this.reconnect.enabled) return
    this.draining = true
    this.leaving = true
    if (this.phase !== "ready" || this.queue.onWire === 0) this.#leave()
  }

  #refused(error) {
    if (mayPass(error.number)) this.#lost(error)
    else this.end(error)
  }

  #leave() {
    this.#lost(new DaemonStoreError(CODE.DRAINING, "the daemon is stopping"))
  }

  #answer(reader, elements, id, code) {
    const call = this.queue.find(id)
    if (call === null) throw new RangeError("an answer to a request that was not asked")
    const error = code === 0 ? null : readError(reader, code, elements, call)
    if (this.#asksAgain(call, error)) return
    this.answered = true
    if (error !== null) {
      if (call.isWrite && error.outcome === undefined) error.outcome = "unknown"
      if (call.isWrite && isOutside(code)) this.queue.latch(call, code, error.message)
      this.#fail(call, error)
      return
    }
    const answered = call.answered
    if (call.isWrite) {
      if (id > this.acknowledged) this.acknowledged = id
      if (elements > 3) {
        reader.skip()
        if (!reader.isNil() && reader.bool()) this.duplicates++
      }
    }
    this.#finish(call)
    if (call.op === RESUME) this.queue.forgetOldLatches()
    answered?.(reader, elements)
  }

  /**
   * Some answers are none, as they come from a daemon that is about to end: the next one is asked. Draining is one; an
   * unknown outcome is another: the next daemon knows, and answers for the same id. And the answer to a read is too old
   * if a write before it was answered like that, and is still to come.
   */
  #asksAgain(call, error) {
    if (!this.reconnect.enabled) return false
    const drained = error?.number === CODE.DRAINING
    if (call.isWrite && drained) {
      if (!this.#refusedByDraining(call)) return false
    } else if (drained || (call.isWrite && error?.outcome === "unknown") || this.queue.awaitsWrite(call)) {
      this.queue.postpone(call)
    } else {
      return false
    }
    this.leaving = true
    return true
  }

  /**
   * A write refused by draining: nothing was done. As it was answered, its id is used up, and it needs a new one.
   *
   * But one whose id is not above `through` may have been carried out before this connection, and a draining daemon may
   * not have looked: it keeps its id, under which it can never be done twice. Unless the daemon did not say that it
   * drains: then it spoke from the session's memory, and would say the same for ever. If in that case a resume is behind
   * the write, what is behind the resume may be done by now, and it is too late to send this one again: it has failed.
   */
  #refusedByDraining(call) {
    if (call.id <= this.through && this.draining) this.queue.postpone(call)
    else if (call.id > this.through || call.epoch === this.queue.epoch) this.queue.postponeAgain(call)
    else return false
    return true
  }

  /* ---- the end of the process ---- */

  /** What the process leaves unanswered: [writes, writes that were never handed to the socket]. */
  unanswered() {
    this.transmit()
    let unsent = 0
    for (let call = this.queue.first; call !== null; call = call.following)
      if (call.isWrite && !call.touched) unsent++
    return { writes: this.queue.writes, unsent }
  }
}

function newGroup() {
  return { left: 0, waiting: /** @type {any} */ (null), later: /** @type {any} */ (null) }
}

/* ---- processes that exit ---- */

/** @type {Set<Session>} */
const open = new Set()
let watching = false

/** Say so if the process exits while writes of this session have no answer. */
export function watchExit(session) {
  open.add(session)
  if (watching) return
  watching = true
  process.on("exit", () => {
    for (const each of open) {
      if (each.phase === "closed") continue
      const { writes, unsent } = each.unanswered()
      if (writes > 0)
        process.stderr.write(
          `kyneta-daemon-store: the process exits while ${writes} writes to ${each.path} are queued without an answer` +
            ` (${unsent} of them were never sent)\n`,
        )
    }
  })
}

export function unwatchExit(session) {
  open.delete(session)
}
