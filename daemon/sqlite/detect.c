/*
 * detect: which store is this, or why is it refused? A function of what schema.c saw; no SQL here.
 *
 * A store of layout 1 (written by 1.x packages) is a metadata and a records table. A store of layout 2 (2.x and later)
 * has a third one with a format row, and other names by default. What does not fit together is refused, never shown as
 * new and empty: hosts would write empty documents over the old ones. In order:
 *
 * - foreign-table: a table of one of the names has another shape.
 * - mixed-layouts: kyneta_meta has rows, and there is a format row or a kyneta_doc_meta: a 2.x package has opened a 1.x
 *   file. Or two metadata tables with rows share the records.
 * - malformed-version: the format row cannot be read.
 * - incompatible-major: the format row has another major than 1. The minor never matters.
 * - unversioned-existing-data: rows of layout 2, and no format row.
 * - mixed-layouts again: records with rows whose metadata is absent or empty, or the other way round; metas with the
 * key of the other layout.
 *
 * Otherwise a format row means layout 2, and the tables of layout 1 without one mean layout 1. Tables that are there
 * but empty tell which layout a new store must get. There are three ways of asking:
 *
 * - The metadata table is not named: whichever of the two default tables is there.
 * - It is named: it may be of either layout, and the default store table may be another store's. The key in the metas
 *   (syncProtocol or syncMode) tells. Without metas nothing does: then what was noted about the store counts, and if
 *   nothing was, it is there with a layout that its next meta decides.
 * - The store table is named: layout 2.
 */
#include "daemon/sqlite/sqlite.h"

static bool filled(struct sqlite_table table)
{
	return table.state == TABLE_FILLED;
}

static bool there(struct sqlite_table table)
{
	return table.state == TABLE_EMPTY || table.state == TABLE_FILLED;
}

static int refuse(struct failure *failure, const char *detail)
{
	if (failure != NULL)
		failure->detail = detail;
	return ERROR_INCOMPATIBLE_FORMAT;
}

static int refuse_foreign(const struct sqlite_table *table, struct failure *failure)
{
	failure_set(failure, ERROR_INCOMPATIBLE_FORMAT,
		    "the table %s is not one of a store: its columns, key or kind differ; choose another name, or "
		    "rename that table",
		    table->name);
	return refuse(failure, "foreign-table");
}

static int refuse_unversioned(const struct sqlite_facts *facts, const struct sqlite_table *table,
			      struct failure *failure)
{
	failure_set(failure, ERROR_INCOMPATIBLE_FORMAT,
		    "%s has rows of layout 2, but %s has no format row that says which version wrote them; if it was "
		    "lost, put it back: "
		    "key 'format', value '{\"major\":1,\"minor\":0}'",
		    table->name, facts->store.name);
	return refuse(failure, "unversioned-existing-data");
}

static int refuse_format(const struct sqlite_facts *facts, struct failure *failure)
{
	if (facts->format == FORMAT_MALFORMED) {
		failure_set(failure, ERROR_INCOMPATIBLE_FORMAT,
			    "the format row of %s cannot be read: expected {\"major\":1,\"minor\":0}, found %s",
			    facts->store.name, facts->format_text);
		return refuse(failure, "malformed-version");
	}
	failure_set(
	    failure, ERROR_INCOMPATIBLE_FORMAT,
	    "%s says that the store has the format %s; this daemon knows major 1: use the release that wrote it",
	    facts->store.name, facts->format_text);
	return refuse(failure, "incompatible-major");
}

/* kyneta_meta with rows beside anything of layout 2: a 2.x package has opened a 1.x file. */
static int refuse_upgraded(const struct sqlite_facts *facts, struct failure *failure)
{
	const char *old = facts->default_meta[LAYOUT_1].name, *new = facts->default_meta[LAYOUT_2].name;

	failure_set(failure, ERROR_INCOMPATIBLE_FORMAT,
		    "%s has documents of a 1.x store, and %s: a 2.x package has opened a 1.x file, where it hides or "
		    "overwrites the old "
		    "documents. Stop all programs that use the file and keep a copy. To go back, drop %s and %s and "
		    "open it as 1.x%s. To "
		    "go on with 2.x, rename syncProtocol to syncMode in the metas of %s and %s, copy the rows of %s "
		    "that %s lacks "
		    "into it, and drop %s",
		    old,
		    filled(facts->default_meta[LAYOUT_2]) ? "kyneta_doc_meta has some of a 2.x store"
							  : "marks of layout 2",
		    new, facts->store.name,
		    filled(facts->default_meta[LAYOUT_2]) ? " (what 2.x wrote stays behind in the records)" : "", old,
		    facts->records.name, old, new, old);
	return refuse(failure, "mixed-layouts");
}

static int refuse_mixed(const struct sqlite_table *has, const char *what, const struct sqlite_table *lacks,
			const char *but, struct failure *failure)
{
	failure_set(failure, ERROR_INCOMPATIBLE_FORMAT,
		    "%s has %s, but %s %s: these tables are not one store. Name the tables that belong together, or if "
		    "a package of "
		    "another layout has opened the file, go back to the copy from before",
		    has->name, what, lacks->name, but);
	return refuse(failure, "mixed-layouts");
}

int sqlite_detect_mixed_records(const struct sqlite_facts *facts, enum layout layout, struct failure *failure)
{
	if (facts->records_key == LAYOUT_NONE || facts->records_key == layout)
		return 0;
	return refuse_mixed(
	    &facts->records, facts->records_key == LAYOUT_1 ? "metas with syncProtocol" : "metas with syncMode",
	    &facts->meta[layout], layout == LAYOUT_1 ? "is of layout 1 (syncProtocol)" : "is of layout 2 (syncMode)",
	    failure);
}

/* Two metadata tables with rows that both could be those of the records. */
static int check_rivals(const struct sqlite_facts *facts, struct failure *failure)
{
	const struct sqlite_table *old = &facts->default_meta[LAYOUT_1], *new = &facts->default_meta[LAYOUT_2];

	if (!facts->store_given && (!facts->meta_given || facts->meta_is_default[LAYOUT_1])) {
		if (filled(*old) && (facts->format != FORMAT_NONE || there(*new)))
			return refuse_upgraded(facts, failure);
		return 0;
	}
	/* From here on the store's metadata is meta[LAYOUT_2], whichever layout it has. */
	const struct sqlite_table *meta = &facts->meta[LAYOUT_2];

	if (filled(*old) && !facts->meta_is_default[LAYOUT_1] && facts->meta_is_default[LAYOUT_2])
		return refuse_upgraded(facts, failure);
	if (!facts->records_is_default)
		return 0;
	if (filled(*old) && !facts->meta_is_default[LAYOUT_1])
		return refuse_mixed(old, "documents whose records are in the same table", meta, "is the one asked for",
				    failure);
	if (filled(*new) && !facts->meta_is_default[LAYOUT_2])
		return refuse_mixed(new, "documents whose records are in the same table", meta, "is the one asked for",
				    failure);
	return 0;
}

/* The metadata and the records must both be there, or neither. */
static int check_halves(const struct sqlite_table *meta, const struct sqlite_table *records, struct failure *failure)
{
	if (filled(*records) && !filled(*meta))
		return refuse_mixed(records, "records", meta, there(*meta) ? "is empty" : "does not exist", failure);
	if (filled(*meta) && !there(*records))
		return refuse_mixed(meta, "documents", records, "does not exist", failure);
	return 0;
}

static int detect_layout_1(const struct sqlite_facts *facts, struct sqlite_finding *finding, struct failure *failure)
{
	const struct sqlite_table *meta = &facts->meta[LAYOUT_1];

	if (facts->key[LAYOUT_1] == LAYOUT_2)
		return refuse_unversioned(facts, meta, failure);
	finding->layout = LAYOUT_1;
	return check_halves(meta, &facts->records, failure);
}

static int detect_layout_2(const struct sqlite_facts *facts, struct sqlite_finding *finding, struct failure *failure)
{
	const struct sqlite_table *meta = &facts->meta[LAYOUT_2];
	int code;

	if (facts->store.state == TABLE_FOREIGN)
		return refuse_foreign(&facts->store, failure);
	if (facts->format == FORMAT_NONE && (filled(*meta) || filled(facts->records)))
		return refuse_unversioned(facts, filled(*meta) ? meta : &facts->records, failure);
	if (facts->format == FORMAT_MALFORMED || facts->format == FORMAT_OTHER_MAJOR)
		return refuse_format(facts, failure);
	if (facts->key[LAYOUT_2] == LAYOUT_1)
		return refuse_mixed(meta, "metas with syncProtocol (layout 1)", &facts->store,
				    "has a format row (layout 2)", failure);
	code = check_halves(meta, &facts->records, failure);
	if (code != 0)
		return code;
	if (facts->format == FORMAT_1 && there(*meta) && there(facts->records))
		finding->layout = LAYOUT_2;
	else
		finding->forced = LAYOUT_2;
	return 0;
}

/* The store table that a named metadata table would have in layout 2: is it none, or one that this daemon knows? */
static int check_store_table(const struct sqlite_facts *facts, struct failure *failure)
{
	if (facts->store.state == TABLE_FOREIGN)
		return refuse_foreign(&facts->store, failure);
	if (facts->format == FORMAT_MALFORMED || facts->format == FORMAT_OTHER_MAJOR)
		return refuse_format(facts, failure);
	return 0;
}

/*
 * In layout 2, metadata of a name of its own would put its format row into the default store table. Beside kyneta_meta
 * that row would say that a 2.x package has opened this 1.x file.
 */
static bool would_mix(const struct sqlite_facts *facts)
{
	return facts->format == FORMAT_NONE && there(facts->default_meta[LAYOUT_1]);
}

/* Metadata and records are there, named and empty, while the store table may be theirs or another store's. */
static int detect_emptied(const struct sqlite_facts *facts, struct sqlite_finding *finding, struct failure *failure)
{
	if (facts->noted_layout == LAYOUT_2)
		return detect_layout_2(facts, finding, failure);
	if (facts->store.state == TABLE_ABSENT || facts->noted_layout == LAYOUT_1) {
		finding->layout = LAYOUT_1;
		return 0;
	}
	finding->is_there = true;
	if (would_mix(facts) || check_store_table(facts, NULL) != 0)
		finding->forced = LAYOUT_1;
	return 0;
}

/* No metadata yet, and no word about which layout. Empty tables tell who was here. */
static int detect_empty(const struct sqlite_facts *facts, struct sqlite_finding *finding, struct failure *failure)
{
	const struct sqlite_table *meta = &facts->meta[LAYOUT_1];
	int code = check_halves(meta, &facts->records, failure);

	if (code != 0)
		return code;
	if (facts->meta_given && there(*meta) && there(facts->records))
		return detect_emptied(facts, finding, failure);
	if (facts->meta_given) {
		if (would_mix(facts))
			finding->forced = LAYOUT_1;
		/* The default store table may be another store's; but a new store of layout 2 would have to live with
		 * it. */
		return facts->asked_layout == 1 ? 0 : check_store_table(facts, failure);
	}
	if (there(facts->meta[LAYOUT_2]) || there(facts->store))
		finding->forced = LAYOUT_2;
	else if (there(*meta) && there(facts->records))
		finding->layout = LAYOUT_1;
	else if (there(*meta))
		finding->forced = LAYOUT_1;
	return 0;
}

static int check_shapes(const struct sqlite_facts *facts, struct failure *failure)
{
	for (int layout = LAYOUT_1; layout <= LAYOUT_2; layout++) {
		if (facts->store_given && layout == LAYOUT_1)
			continue;
		if (facts->meta[layout].state == TABLE_FOREIGN)
			return refuse_foreign(&facts->meta[layout], failure);
	}
	if (facts->records.state == TABLE_FOREIGN)
		return refuse_foreign(&facts->records, failure);
	if (!facts->meta_given && facts->store.state == TABLE_FOREIGN)
		return refuse_foreign(&facts->store, failure);
	return 0;
}

int sqlite_detect(const struct sqlite_facts *facts, struct sqlite_finding *finding, struct failure *failure)
{
	enum layout key = facts->key[LAYOUT_1];
	int code;

	*finding = (struct sqlite_finding){LAYOUT_NONE, LAYOUT_NONE, false};
	code = check_shapes(facts, failure);
	if (code == 0)
		code = check_rivals(facts, failure);
	if (code != 0)
		return code;

	if (facts->store_given)
		return detect_layout_2(facts, finding, failure);
	if (facts->meta_given) {
		if (!filled(facts->meta[LAYOUT_1]))
			return detect_empty(facts, finding, failure);
		if (key == LAYOUT_1 || (key == LAYOUT_NONE && facts->format == FORMAT_NONE))
			return detect_layout_1(facts, finding, failure);
		return detect_layout_2(facts, finding, failure);
	}
	if (facts->format != FORMAT_NONE || filled(facts->meta[LAYOUT_2]))
		return detect_layout_2(facts, finding, failure);
	if (filled(facts->meta[LAYOUT_1]))
		return detect_layout_1(facts, finding, failure);
	return detect_empty(facts, finding, failure);
}
