/*
 * Which store is it, or why is it refused: every rule on real files; and a file that is only
 * looked at stays as it was.
 */
#include "tests/unit/sqlite_scratch.h"

TestSuite(sqlite_detect, .init = sqlite_scratch_make, .fini = sqlite_scratch_remove);

#define META(t) "CREATE TABLE \"" t "\" (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;"
#define RECORDS(t)                                                                                                     \
	"CREATE TABLE \"" t "\" (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT, "       \
	"blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID;"
#define STORE(t)	"CREATE TABLE \"" t "\" (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
#define FORMAT(t, json) "INSERT INTO \"" t "\" VALUES ('format', '" json "');"
#define GOOD		"{\"major\":1,\"minor\":0}"
#define DOC1(t)		"INSERT INTO \"" t "\" VALUES ('a', '{\"syncProtocol\":{}}');"
#define DOC2(t)		"INSERT INTO \"" t "\" VALUES ('a', '{\"syncMode\":{}}');"
#define ROW1(t, id)	"INSERT INTO \"" t "\" VALUES ('" id "', 0, 'meta', '{\"syncProtocol\":{}}', NULL);"
#define ROW2(t, id)	"INSERT INTO \"" t "\" VALUES ('" id "', 0, 'meta', '{\"syncMode\":{}}', NULL);"
#define OLD		META("kyneta_meta") RECORDS("kyneta_records")
#define OLD_FILLED	OLD DOC1("kyneta_meta") ROW1("kyneta_records", "a")
#define NEW		META("kyneta_doc_meta") RECORDS("kyneta_records") STORE("kyneta_store_meta")
#define NEW_FILLED	NEW FORMAT("kyneta_store_meta", GOOD) DOC2("kyneta_doc_meta") ROW2("kyneta_records", "a")

/* What a 2.x package adds to a 1.x file when it opens it and writes. */
#define UPGRADED                                                                                                       \
	META("kyneta_doc_meta") STORE("kyneta_store_meta") FORMAT("kyneta_store_meta", GOOD) DOC2("kyneta_doc_meta")

#define MIXED	    "mixed-layouts"
#define FOREIGN	    "foreign-table"
#define UNVERSIONED "unversioned-existing-data"
#define MALFORMED   "malformed-version"
#define MAJOR	    "incompatible-major"

struct rule {
	const char *about;
	const char *sql;
	const char *meta, *records, *store;
	uint64_t asked;
	const char *detail; /* refused; else NULL */
	enum layout layout, forced;
};

/* Nothing said about names. */
static const struct rule DEFAULTS[] = {
    {"nothing there", "", NULL, NULL, NULL, 0, NULL, LAYOUT_NONE, LAYOUT_NONE},
    {"another application's tables", "CREATE TABLE notes (id INTEGER PRIMARY KEY);", NULL, NULL, NULL, 0, NULL, 0, 0},
    {"layout 1", OLD_FILLED, NULL, NULL, NULL, 0, NULL, LAYOUT_1, 0},
    {"layout 1, empty", OLD, NULL, NULL, NULL, 0, NULL, LAYOUT_1, 0},
    {"layout 1, asked for 2: used as found", OLD_FILLED, NULL, NULL, NULL, 2, NULL, LAYOUT_1, 0},
    {"layout 2", NEW_FILLED, NULL, NULL, NULL, 0, NULL, LAYOUT_2, 0},
    {"layout 2, empty", NEW FORMAT("kyneta_store_meta", GOOD), NULL, NULL, NULL, 0, NULL, LAYOUT_2, 0},
    {"layout 2, asked for 1: used as found", NEW_FILLED, NULL, NULL, NULL, 1, NULL, LAYOUT_2, 0},
    {"a later minor", NEW FORMAT("kyneta_store_meta", "{\"minor\":7,\"major\":1.0}") DOC2("kyneta_doc_meta"), NULL,
     NULL, NULL, 0, NULL, LAYOUT_2, 0},
    {"no minor", NEW FORMAT("kyneta_store_meta", "{\"major\":1}"), NULL, NULL, NULL, 0, NULL, LAYOUT_2, 0},
    {"1.x opened by 2.x",
     OLD_FILLED META("kyneta_doc_meta") STORE("kyneta_store_meta") FORMAT("kyneta_store_meta", GOOD), NULL, NULL, NULL,
     0, MIXED, 0, 0},
    {"1.x beside kyneta_doc_meta alone", OLD_FILLED META("kyneta_doc_meta"), NULL, NULL, NULL, 0, MIXED, 0, 0},
    {"1.x beside a format row alone", OLD_FILLED STORE("kyneta_store_meta") FORMAT("kyneta_store_meta", GOOD), NULL,
     NULL, NULL, 0, MIXED, 0, 0},
    {"1.x beside an unreadable format row", OLD_FILLED STORE("kyneta_store_meta") FORMAT("kyneta_store_meta", "x"),
     NULL, NULL, NULL, 0, MIXED, 0, 0},
    {"1.x beside a store table without a format row", OLD_FILLED STORE("kyneta_store_meta"), NULL, NULL, NULL, 0, NULL,
     LAYOUT_1, 0},
    {"2.x beside an empty kyneta_meta", NEW_FILLED META("kyneta_meta"), NULL, NULL, NULL, 0, NULL, LAYOUT_2, 0},
    {"format row is no JSON", NEW FORMAT("kyneta_store_meta", "1.0"), NULL, NULL, NULL, 0, MALFORMED, 0, 0},
    {"format row is an array", NEW FORMAT("kyneta_store_meta", "[1,0]"), NULL, NULL, NULL, 0, MALFORMED, 0, 0},
    {"format row is cut", NEW FORMAT("kyneta_store_meta", "{\"major\":1"), NULL, NULL, NULL, 0, MALFORMED, 0, 0},
    {"no major", NEW FORMAT("kyneta_store_meta", "{\"minor\":1}"), NULL, NULL, NULL, 0, MALFORMED, 0, 0},
    {"major is a string", NEW FORMAT("kyneta_store_meta", "{\"major\":\"1\"}"), NULL, NULL, NULL, 0, MALFORMED, 0, 0},
    {"major is no integer", NEW FORMAT("kyneta_store_meta", "{\"major\":1.5}"), NULL, NULL, NULL, 0, MALFORMED, 0, 0},
    {"major 2", NEW FORMAT("kyneta_store_meta", "{\"major\":2,\"minor\":0}") DOC2("kyneta_doc_meta"), NULL, NULL, NULL,
     0, MAJOR, 0, 0},
    {"major 0", NEW FORMAT("kyneta_store_meta", "{\"major\":0,\"minor\":9}"), NULL, NULL, NULL, 0, MAJOR, 0, 0},
    {"no format row", NEW DOC2("kyneta_doc_meta") ROW2("kyneta_records", "a"), NULL, NULL, NULL, 0, UNVERSIONED, 0, 0},
    {"no store table", META("kyneta_doc_meta") RECORDS("kyneta_records") DOC2("kyneta_doc_meta"), NULL, NULL, NULL, 0,
     UNVERSIONED, 0, 0},
    {"records alone", RECORDS("kyneta_records") ROW1("kyneta_records", "a"), NULL, NULL, NULL, 0, MIXED, 0, 0},
    {"records beside an empty kyneta_meta", OLD ROW1("kyneta_records", "a"), NULL, NULL, NULL, 0, MIXED, 0, 0},
    {"records of layout 2 without metadata", NEW FORMAT("kyneta_store_meta", GOOD) ROW2("kyneta_records", "a"), NULL,
     NULL, NULL, 0, MIXED, 0, 0},
    {"metadata of layout 1 without records", META("kyneta_meta") DOC1("kyneta_meta"), NULL, NULL, NULL, 0, MIXED, 0, 0},
    {"metadata of layout 2 without records",
     META("kyneta_doc_meta") STORE("kyneta_store_meta") FORMAT("kyneta_store_meta", GOOD) DOC2("kyneta_doc_meta"), NULL,
     NULL, NULL, 0, MIXED, 0, 0},
    {"syncProtocol under a format row",
     NEW FORMAT("kyneta_store_meta", GOOD) DOC1("kyneta_doc_meta") ROW1("kyneta_records", "a"), NULL, NULL, NULL, 0,
     MIXED, 0, 0},
    {"syncMode in kyneta_meta", OLD DOC2("kyneta_meta") ROW2("kyneta_records", "a"), NULL, NULL, NULL, 0, UNVERSIONED,
     0, 0},
    {"old records among the new", NEW_FILLED ROW1("kyneta_records", "b"), NULL, NULL, NULL, 0, MIXED, 0, 0},
    {"new records among the old", OLD_FILLED ROW2("kyneta_records", "b"), NULL, NULL, NULL, 0, MIXED, 0, 0},
    {"an empty kyneta_doc_meta is left over", META("kyneta_doc_meta"), NULL, NULL, NULL, 0, NULL, 0, LAYOUT_2},
    {"an empty store table is left over", STORE("kyneta_store_meta"), NULL, NULL, NULL, 0, NULL, 0, LAYOUT_2},
    {"a format row is left over", STORE("kyneta_store_meta") FORMAT("kyneta_store_meta", GOOD), NULL, NULL, NULL, 0,
     NULL, 0, LAYOUT_2},
    {"both layouts are left over", OLD META("kyneta_doc_meta"), NULL, NULL, NULL, 0, NULL, 0, LAYOUT_2},
    {"an empty kyneta_meta is left over", META("kyneta_meta"), NULL, NULL, NULL, 0, NULL, 0, LAYOUT_1},
    {"empty records are left over", RECORDS("kyneta_records"), NULL, NULL, NULL, 0, NULL, 0, 0},
};

/* The metadata table named, the store table not. */
static const struct rule META_NAMED[] = {
    {"nothing there", "", "m", "r", NULL, 0, NULL, 0, 0},
    {"layout 1", META("m") RECORDS("r") DOC1("m") ROW1("r", "a"), "m", "r", NULL, 0, NULL, LAYOUT_1, 0},
    {"layout 1 in any case", META("M") RECORDS("R") DOC1("M") ROW1("R", "a"), "m", "r", NULL, 0, NULL, LAYOUT_1, 0},
    {"layout 1 beside a default store of layout 2", NEW_FILLED META("m") RECORDS("r") DOC1("m"), "m", "r", NULL, 0,
     NULL, LAYOUT_1, 0},
    {"layout 1 beside a bad format row of another",
     NEW FORMAT("kyneta_store_meta", "x") META("m") RECORDS("r") DOC1("m"), "m", "r", NULL, 0, NULL, LAYOUT_1, 0},
    {"layout 1, empty", META("m") RECORDS("r"), "m", "r", NULL, 0, NULL, LAYOUT_1, 0},
    {"layout 2", META("m") RECORDS("r") STORE("kyneta_store_meta") FORMAT("kyneta_store_meta", GOOD) DOC2("m"), "m",
     "r", NULL, 0, NULL, LAYOUT_2, 0},
    {"layout 2 beside a default store of layout 1: its format row would be one",
     OLD_FILLED META("m") RECORDS("r") DOC2("m"), "m", "r", NULL, 0, UNVERSIONED, 0, 0},
    {"syncMode without a format row", META("m") RECORDS("r") DOC2("m"), "m", "r", NULL, 0, UNVERSIONED, 0, 0},
    {"syncMode under a bad format row", NEW FORMAT("kyneta_store_meta", "x") META("m") RECORDS("r") DOC2("m"), "m", "r",
     NULL, 0, MALFORMED, 0, 0},
    {"syncMode under another major", NEW FORMAT("kyneta_store_meta", "{\"major\":2}") META("m") RECORDS("r") DOC2("m"),
     "m", "r", NULL, 0, MAJOR, 0, 0},
    {"records alone", RECORDS("r") ROW1("r", "a"), "m", "r", NULL, 0, MIXED, 0, 0},
    {"records beside empty metadata", META("m") RECORDS("r") ROW2("r", "a"), "m", "r", NULL, 0, MIXED, 0, 0},
    {"metadata without records", META("m") DOC1("m"), "m", "r", NULL, 0, MIXED, 0, 0},
    {"new records among the old", META("m") RECORDS("r") DOC1("m") ROW1("r", "a") ROW2("r", "b"), "m", "r", NULL, 0,
     MIXED, 0, 0},
    {"a new one beside a default store of layout 1", OLD_FILLED, "m", "r", NULL, 0, NULL, 0, LAYOUT_1},
    {"a new one beside an empty one", OLD, "m", "r", NULL, 2, NULL, 0, LAYOUT_1},
    {"a new one under a bad format row", NEW FORMAT("kyneta_store_meta", "x"), "m", "r", NULL, 0, MALFORMED, 0, 0},
    {"a new one of layout 1 does not care", NEW FORMAT("kyneta_store_meta", "x"), "m", "r", NULL, 1, NULL, 0, 0},
    {"a new one beside a foreign store table", "CREATE TABLE kyneta_store_meta (x);", "m", "r", NULL, 0, FOREIGN, 0, 0},
    {"a new one of layout 1 beside it", "CREATE TABLE kyneta_store_meta (x);", "m", "r", NULL, 1, NULL, 0, 0},
    {"metas that tell nothing, no format row", META("m") RECORDS("r") "INSERT INTO m VALUES ('a', '{}');", "m", "r",
     NULL, 0, NULL, LAYOUT_1, 0},
    {"the first meta tells nothing, the second does",
     META("m") RECORDS("r") "INSERT INTO m VALUES ('A', 'x');" DOC2("m"), "m", "r", NULL, 0, UNVERSIONED, 0, 0},
    {"the default of layout 1 by name", OLD_FILLED, "kyneta_meta", NULL, NULL, 0, NULL, LAYOUT_1, 0},
    {"the same, damaged", OLD_FILLED META("kyneta_doc_meta"), "kyneta_meta", "kyneta_records", NULL, 0, MIXED, 0, 0},
    {"the same, by the other name", OLD_FILLED META("kyneta_doc_meta") DOC2("kyneta_doc_meta"), "kyneta_doc_meta",
     "kyneta_records", NULL, 0, MIXED, 0, 0},
    {"the default of layout 2 by name", NEW_FILLED, "Kyneta_Doc_Meta", "KYNETA_RECORDS", NULL, 0, NULL, LAYOUT_2, 0},
    {"records of the default store of layout 1", OLD_FILLED META("m"), "m", NULL, NULL, 0, MIXED, 0, 0},
    {"records of the default store of layout 1, documents of both", OLD_FILLED META("m") DOC1("m"), "m", NULL, NULL, 0,
     MIXED, 0, 0},
    {"records of the default store of layout 2", NEW_FILLED META("m") DOC2("m"), "m", NULL, NULL, 0, MIXED, 0, 0},
};

/* Tables that are there and empty, the metadata named, the store table not. */
static const struct emptied_rule {
	const char *about;
	const char *sql;
	uint64_t asked, noted;
	const char *detail;
	enum layout layout, forced;
	bool is_there;
} EMPTIED[] = {
    {"beside no store table", META("m") RECORDS("r"), 0, 0, NULL, LAYOUT_1, 0, false},
    {"beside a format row of whomever", NEW_FILLED META("m") RECORDS("r"), 0, 0, NULL, 0, 0, true},
    {"the same, asked for 1", NEW_FILLED META("m") RECORDS("r"), 1, 0, NULL, 0, 0, true},
    {"the same, noted as 1", NEW_FILLED META("m") RECORDS("r"), 2, 1, NULL, LAYOUT_1, 0, false},
    {"the same, noted as 2", NEW_FILLED META("m") RECORDS("r"), 1, 2, NULL, LAYOUT_2, 0, false},
    {"no records", NEW_FILLED META("m"), 0, 1, NULL, 0, 0, false},
    {"noted as 2, the format row is gone", META("m") RECORDS("r") STORE("kyneta_store_meta"), 0, 2, NULL, 0, LAYOUT_2,
     false},
    {"beside a bad format row of whomever", NEW FORMAT("kyneta_store_meta", "x") META("m") RECORDS("r"), 0, 0, NULL, 0,
     LAYOUT_1, true},
    {"the same, noted as 1", NEW FORMAT("kyneta_store_meta", "x") META("m") RECORDS("r"), 0, 1, NULL, LAYOUT_1, 0,
     false},
    {"the same, noted as 2", NEW FORMAT("kyneta_store_meta", "x") META("m") RECORDS("r"), 0, 2, MALFORMED, 0, 0, false},
    {"beside a foreign store table", META("m") RECORDS("r") "CREATE TABLE kyneta_store_meta (x);", 0, 0, NULL, 0,
     LAYOUT_1, true},
    {"beside a default store of layout 1", OLD_FILLED META("m") RECORDS("r") STORE("kyneta_store_meta"), 0, 0, NULL, 0,
     LAYOUT_1, true},
};

/* The store table named: layout 2. */
static const struct rule STORE_NAMED[] = {
    {"nothing there", "", "m", "r", "s", 0, NULL, 0, LAYOUT_2},
    {"layout 2", META("m") RECORDS("r") STORE("s") FORMAT("s", GOOD) DOC2("m") ROW2("r", "a"), "m", "r", "s", 0, NULL,
     LAYOUT_2, 0},
    {"layout 2 beside a default store of layout 1",
     OLD_FILLED META("m") RECORDS("r") STORE("s") FORMAT("s", GOOD) DOC2("m"), "m", "r", "s", 0, NULL, LAYOUT_2, 0},
    {"layout 2 by its default names", NEW_FILLED, NULL, NULL, "kyneta_store_meta", 0, NULL, LAYOUT_2, 0},
    {"all defaults by name, damaged", OLD_FILLED UPGRADED, "kyneta_doc_meta", "kyneta_records", "kyneta_store_meta", 0,
     MIXED, 0, 0},
    {"the store by name, kyneta_meta has rows", OLD_FILLED, NULL, NULL, "s", 0, MIXED, 0, 0},
    {"rows without a store table", META("m") RECORDS("r") DOC2("m"), "m", "r", "s", 0, UNVERSIONED, 0, 0},
    {"rows without a format row", META("m") RECORDS("r") STORE("s") DOC2("m"), "m", "r", "s", 0, UNVERSIONED, 0, 0},
    {"records without a format row", META("m") RECORDS("r") STORE("s") ROW2("r", "a"), "m", "r", "s", 0, UNVERSIONED, 0,
     0},
    {"a store of layout 1", META("m") RECORDS("r") DOC1("m"), "m", "r", "s", 0, UNVERSIONED, 0, 0},
    {"syncProtocol under a format row", META("m") RECORDS("r") STORE("s") FORMAT("s", GOOD) DOC1("m"), "m", "r", "s", 0,
     MIXED, 0, 0},
    {"1.x opened by 2.x under chosen names",
     META("m1") RECORDS("r") DOC1("m1") ROW1("r", "a") META("m") STORE("s") FORMAT("s", GOOD), "m", "r", "s", 0, MIXED,
     0, 0},
    {"and written to",
     META("m1") RECORDS("r") DOC1("m1") ROW1("r", "a") META("m") STORE("s")
	 FORMAT("s", GOOD) "INSERT INTO m VALUES ('b', '{\"syncMode\":{}}');" ROW2("r", "b"),
     "m", "r", "s", 0, MIXED, 0, 0},
    {"malformed", META("m") RECORDS("r") STORE("s") FORMAT("s", ""), "m", "r", "s", 0, MALFORMED, 0, 0},
    {"another major", META("m") RECORDS("r") STORE("s") FORMAT("s", "{\"major\":9}"), "m", "r", "s", 0, MAJOR, 0, 0},
    {"empty tables, no format row", META("m") RECORDS("r") STORE("s"), "m", "r", "s", 0, NULL, 0, LAYOUT_2},
    {"a format row alone", STORE("s") FORMAT("s", GOOD), "m", "r", "s", 0, NULL, 0, LAYOUT_2},
    {"its store table is foreign", "CREATE TABLE s (x);", "m", "r", "s", 0, FOREIGN, 0, 0},
};

/* Tables that only look like a store's. */
static const struct rule SHAPES[] = {
    {"with rowid", "CREATE TABLE m (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL);", "m", "r", NULL, 0, FOREIGN, 0, 0},
    {"a column more", "CREATE TABLE m (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL, x) WITHOUT ROWID;", "m", "r", NULL,
     0, FOREIGN, 0, 0},
    {"a column less", "CREATE TABLE m (doc_id TEXT PRIMARY KEY) WITHOUT ROWID;", "m", "r", NULL, 0, FOREIGN, 0, 0},
    {"another name", "CREATE TABLE m (id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;", "m", "r", NULL, 0,
     FOREIGN, 0, 0},
    {"another type", "CREATE TABLE m (doc_id TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;", "m", "r", NULL, 0,
     FOREIGN, 0, 0},
    {"may be null", "CREATE TABLE m (doc_id TEXT PRIMARY KEY, data TEXT) WITHOUT ROWID;", "m", "r", NULL, 0, FOREIGN, 0,
     0},
    {"a default", "CREATE TABLE m (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL DEFAULT '') WITHOUT ROWID;", "m", "r",
     NULL, 0, FOREIGN, 0, 0},
    {"another key", "CREATE TABLE m (doc_id TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (data)) WITHOUT ROWID;", "m",
     "r", NULL, 0, FOREIGN, 0, 0},
    {"another order", "CREATE TABLE m (doc_id TEXT COLLATE NOCASE PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;", "m",
     "r", NULL, 0, FOREIGN, 0, 0},
    {"backwards", "CREATE TABLE m (doc_id TEXT, data TEXT NOT NULL, PRIMARY KEY (doc_id DESC)) WITHOUT ROWID;", "m",
     "r", NULL, 0, FOREIGN, 0, 0},
    {"generated", "CREATE TABLE m (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL, x TEXT AS (data)) WITHOUT ROWID;", "m",
     "r", NULL, 0, FOREIGN, 0, 0},
    {"generated in place", "CREATE TABLE m (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL AS (doc_id)) WITHOUT ROWID;",
     "m", "r", NULL, 0, FOREIGN, 0, 0},
    {"a view", META("t") "CREATE VIEW m AS SELECT * FROM t;", "m", "r", NULL, 0, FOREIGN, 0, 0},
    {"an index", META("t") "CREATE INDEX m ON t (data);", "m", "r", NULL, 0, FOREIGN, 0, 0},
    {"a virtual table", "CREATE VIRTUAL TABLE m USING fts5(doc_id, data);", "m", "r", NULL, 0, FOREIGN, 0, 0},
    {"records with rowid", "CREATE TABLE r (doc_id TEXT, seq INTEGER, kind TEXT, payload TEXT, blob BLOB);", "m", "r",
     NULL, 0, FOREIGN, 0, 0},
    {"records with another key",
     "CREATE TABLE r (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT, blob BLOB, "
     "PRIMARY KEY (seq, doc_id)) WITHOUT ROWID;",
     "m", "r", NULL, 0, FOREIGN, 0, 0},
    {"a foreign kyneta_meta", "CREATE TABLE kyneta_meta (x);", NULL, NULL, NULL, 0, FOREIGN, 0, 0},
    {"a foreign kyneta_doc_meta", OLD_FILLED "CREATE TABLE kyneta_doc_meta (x);", NULL, NULL, NULL, 0, FOREIGN, 0, 0},
    {"a trigger of the name is nobody's table", META("t") "CREATE TRIGGER m AFTER INSERT ON t BEGIN SELECT 1; END;",
     "m", "r", NULL, 0, NULL, 0, 0},
    {"a key that is named twice is the same", META("m") RECORDS("r") DOC1("m") "CREATE INDEX extra ON m (data);", "m",
     "r", NULL, 0, NULL, LAYOUT_1, 0},
};

static void check(const struct rule *rule, uint64_t noted, bool is_there)
{
	struct table_names names = named(rule->meta, rule->records, rule->store, rule->asked);
	const struct engine_tables *tables = NULL;
	int code;

	names.noted = noted;
	code = class->find(engine, &names, &tables, &failure);
	if (rule->detail != NULL) {
		cr_assert_eq(code, ERROR_INCOMPATIBLE_FORMAT, "%s: %d %s", rule->about, code, failure.message);
		cr_assert_str_eq(failure.detail, rule->detail, "%s: %s: %s", rule->about, failure.detail,
				 failure.message);
		cr_assert_null(tables);
		return;
	}
	cr_assert_eq(code, 0, "%s: %s: %s", rule->about, failure.detail, failure.message);
	cr_assert_eq(tables->layout, rule->layout, "%s: layout %d", rule->about, (int)tables->layout);
	cr_assert_eq(tables->layout_forced, rule->forced, "%s: forced %d", rule->about, (int)tables->layout_forced);
	cr_assert_eq(tables->is_there, is_there, "%s: there %d", rule->about, tables->is_there);
}

/* On a file of its own, which must not change; @mode: its journal mode. */
static void check_on_file(const struct rule *rule, uint64_t noted, bool is_there, const char *mode)
{
	struct buffer before;

	unlink(path);
	other_program(mode);
	other_program("CREATE TABLE bystander (x); INSERT INTO bystander VALUES (7);");
	other_program(rule->sql);
	before = folder_state();
	open_engine();
	check(rule, noted, is_there);
	close_engine();
	assert_folder_state(&before, rule->about);
}

static void check_all(const struct rule *rules, size_t count, const char *mode)
{
	for (size_t i = 0; i < count; i++)
		check_on_file(&rules[i], 0, false, mode);
}

#define CHECK_ALL(rules, mode) check_all(rules, sizeof(rules) / sizeof(rules[0]), mode)

Test(sqlite_detect, nothing_said)
{
	CHECK_ALL(DEFAULTS, "PRAGMA journal_mode=DELETE");
}

Test(sqlite_detect, metadata_named)
{
	CHECK_ALL(META_NAMED, "PRAGMA journal_mode=DELETE");
}

Test(sqlite_detect, emptied)
{
	for (size_t i = 0; i < sizeof(EMPTIED) / sizeof(EMPTIED[0]); i++) {
		const struct emptied_rule *emptied = &EMPTIED[i];
		struct rule rule = {emptied->about,  emptied->sql,   "m", "r", NULL, emptied->asked, emptied->detail,
				    emptied->layout, emptied->forced};

		check_on_file(&rule, emptied->noted, emptied->is_there, "PRAGMA journal_mode=DELETE");
	}
}

Test(sqlite_detect, store_named)
{
	CHECK_ALL(STORE_NAMED, "PRAGMA journal_mode=DELETE");
}

Test(sqlite_detect, shapes)
{
	CHECK_ALL(SHAPES, "PRAGMA journal_mode=DELETE");
}

Test(sqlite_detect, wal_files_stay_as_they_were_too)
{
	CHECK_ALL(DEFAULTS, "PRAGMA journal_mode=WAL");
}
