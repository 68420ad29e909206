/**
 * kyneta-daemon-store: an Exchange's store, kept by kyneta-stored.
 *
 * The types of the Store interface are structurally those of `@kyneta/exchange`, which is no dependency.
 */

/* ---- the Store interface ---- */

export type DocId = string

/** Name, major, minor. */
export type ReplicaType = readonly [name: string, major: number, minor: number]

export type WriterModel = "serialized" | "concurrent"
export type Delivery = "delta-capable" | "snapshot-only"
export type Durability = "persistent" | "transient"

export interface SyncMode {
  readonly writerModel: WriterModel
  readonly delivery: Delivery
  readonly durability: Durability
}

/** A document's metadata. Members beside these are kept. */
export interface StoreMeta {
  readonly replicaType: ReplicaType
  readonly syncMode: SyncMode
  readonly schemaHash: string
}

export interface SubstratePayload {
  readonly kind: "entirety" | "since"
  readonly encoding: "json" | "binary"
  readonly data: string | Uint8Array
  readonly lineage?: string
}

export type StoreRecord =
  | { readonly kind: "meta"; readonly meta: StoreMeta }
  | { readonly kind: "entry"; readonly payload: SubstratePayload; readonly version: string }

/** The reference's interface. */
export interface Store {
  append(docId: DocId, record: StoreRecord): Promise<void>
  loadAll(docId: DocId): AsyncIterable<StoreRecord>
  replace(docId: DocId, records: StoreRecord[]): Promise<void>
  delete(docId: DocId): Promise<void>
  currentMeta(docId: DocId): Promise<StoreMeta | null>
  listDocIds(prefix?: string): AsyncIterable<DocId>
  close(): Promise<void>
}

/* ---- this package ---- */

export interface ReconnectOptions {
  /** Default true. False: a lost connection ends the store. */
  enabled: boolean
  /** Attempts in a row that may fail before the store ends. Default Infinity. */
  maxAttempts: number
  /** Milliseconds before the second attempt, doubled from there, with jitter. Default 100. */
  baseDelay: number
  /** Milliseconds between attempts, at most. Default 5000. */
  maxDelay: number
}

/** `connecting`: not connected yet, or not again. `closed`: by close(), or given up (with an error). */
export type DaemonStoreState = "connecting" | "ready" | "closed"

export interface DaemonStoreOptions {
  /** The daemon's socket. Default: the environment's KYNETA_STORE_SOCKET, else the system's socket. */
  path?: string
  /** Who this is, for the daemon's log. */
  name?: string
  /** Names of the store's tables, where they are not the default ones. */
  tables?: { docMeta?: string; records?: string; storeMeta?: string }
  /** Of a new store. Default: what its first metadata says. A store that exists is used as found. */
  layout?: 1 | 2
  /** Default "read-write". */
  access?: "read-write" | "read-only" | "exclusive"
  /** What a write has to survive: the death of the daemon, or power loss. Default: as the daemon is configured. */
  durability?: "committed" | "synced"
  /** When a write's promise is resolved. Default "sent". */
  settle?: "sent" | "done"
  reconnect?: Partial<ReconnectOptions>
  /** A write that was settled before has failed. Default: a line on stderr. */
  onError?: (error: DaemonStoreError) => void
  /** The state has changed, or an attempt to connect has failed. */
  onState?: (state: DaemonStoreState, error?: Error) => void
  /** Memory for requests without an answer; beyond it, calls wait. Default 16 MiB. */
  queueBytes?: number
  /** Aimed-for size of the pages that loadAll and listDocIds fetch; the daemon has a limit, too (1 MiB). Default 512 KiB. */
  pageBytes?: number
}

export interface DaemonStoreStatus {
  readonly state: DaemonStoreState
  readonly path: string
  /** Name and version of the daemon. */
  readonly daemon: string
  /** 1 or 2, as found at the last connection; 0: not made yet. */
  readonly layout: number
  /** Calls without an answer, those that wait for room included; and how many writes are queued. */
  readonly queued: number
  readonly queuedWrites: number
  readonly queuedBytes: number
  /** Failures of settled writes that flush() has not told yet. */
  readonly failures: number
  readonly connects: number
  /** Requests sent again, and writes of them that had been carried out before. */
  readonly resent: number
  readonly duplicates: number
  /** Loads that began again because the document was replaced or deleted meanwhile. */
  readonly restarts: number
}

export declare class DaemonStore implements Store {
  private constructor()
  append(docId: DocId, record: StoreRecord): Promise<void>
  loadAll(docId: DocId): AsyncIterableIterator<StoreRecord>
  replace(docId: DocId, records: readonly StoreRecord[]): Promise<void>
  delete(docId: DocId): Promise<void>
  currentMeta(docId: DocId): Promise<StoreMeta | null>
  listDocIds(prefix?: string): AsyncIterableIterator<DocId>
  /** Carries out everything called before, then ends the session. Rejects if a settled write has failed. */
  close(): Promise<void>
  /** Resolves when everything called before is answered. Rejects if a settled write has failed. */
  flush(): Promise<void>
  status(): DaemonStoreStatus
}

export declare class DaemonStoreError extends Error {
  /** Of protocol/PROTOCOL.md; from 1000 on this package's own. */
  readonly number: number
  /** Its name: "disk_full", "entry_before_meta", "closed" … */
  readonly code: string
  /** Of a write: was it applied? */
  readonly outcome?: "not-applied" | "unknown"
  readonly operation?: string
  readonly docId?: DocId
  /** Of "incompatible_format": "mixed-layouts", "malformed-version" … */
  readonly reason?: string
  /** Of flush() and close(): each failure, up to 100, if there is more than one. */
  readonly errors?: readonly Error[]
}

/** Connects, waiting for the daemon if need be, and resolves to the store. */
export declare function createDaemonStore(options?: DaemonStoreOptions): Promise<DaemonStore>

export declare const DEFAULT_RECONNECT: Readonly<ReconnectOptions>

export declare const VERSION: string
