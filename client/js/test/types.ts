/*
 * The declarations, used as a host uses them, and held against the reference's interface (@kyneta/exchange 3.0, whose
 * types are repeated here as it declares them). Checked by tsc --strict; never run.
 */
import { createDaemonStore, DaemonStore, DaemonStoreError, DEFAULT_RECONNECT } from "../src/index.js"
import type * as ours from "../src/index.js"

namespace reference {
  export type ReplicaType = readonly [name: string, major: number, minor: number]
  export type SyncMode = {
    readonly writerModel: "serialized" | "concurrent"
    readonly delivery: "delta-capable" | "snapshot-only"
    readonly durability: "persistent" | "transient"
  }
  export type StoreMeta = {
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
  export type DocId = string
  export interface Store {
    append(docId: DocId, record: StoreRecord): Promise<void>
    loadAll(docId: DocId): AsyncIterable<StoreRecord>
    replace(docId: DocId, records: StoreRecord[]): Promise<void>
    delete(docId: DocId): Promise<void>
    currentMeta(docId: DocId): Promise<StoreMeta | null>
    listDocIds(prefix?: string): AsyncIterable<DocId>
    close(): Promise<void>
  }
  export interface ReconnectOptions {
    enabled: boolean
    maxAttempts: number
    baseDelay: number
    maxDelay: number
  }
  export declare class Exchange {
    constructor(options: { stores: Store[] })
  }
}

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false
type Assert<T extends true> = T

export type Checks = [
  Assert<Same<ours.StoreMeta, reference.StoreMeta>>,
  Assert<Same<ours.SubstratePayload, reference.SubstratePayload>>,
  Assert<Same<ours.StoreRecord, reference.StoreRecord>>,
  Assert<Same<ours.Store, reference.Store>>,
  Assert<Same<ours.ReconnectOptions, reference.ReconnectOptions>>,
]

export async function host(): Promise<void> {
  new reference.Exchange({ stores: [await createDaemonStore()] })

  const store: DaemonStore = await createDaemonStore({
    path: "/run/kyneta-store/kyneta-store.sock",
    name: "host",
    tables: { docMeta: "a", records: "b", storeMeta: "c" },
    layout: 2,
    access: "exclusive",
    durability: "synced",
    settle: "done",
    reconnect: { ...DEFAULT_RECONNECT, maxDelay: 1000 },
    onError: (error: DaemonStoreError) => console.error(error.code, error.number, error.outcome, error.docId),
    onState: (state, error) => console.log(state === "ready", error?.message),
    queueBytes: 1 << 20,
    pageBytes: 1 << 16,
  })
  const meta: ours.StoreMeta | null = await store.currentMeta("doc")
  for await (const record of store.loadAll("doc"))
    if (record.kind === "entry") console.log(record.payload.data.length, record.version)
  for await (const id of store.listDocIds("prefix")) console.log(id.length)
  if (meta !== null) await store.replace("doc", [{ kind: "meta", meta }])
  const { state, queuedWrites, layout }: ours.DaemonStoreStatus = store.status()
  console.log(state, queuedWrites + layout)
  await store.flush()
  await store.close()

  // @ts-expect-error no such option
  await createDaemonStore({ socket: "x" })
  // @ts-expect-error no such way
  await createDaemonStore({ settle: "later" })
  // @ts-expect-error made by createDaemonStore
  new DaemonStore()
}
