/*
 * error: the numbers of the wire, written down a second time, and the table in PROTOCOL.md.
 */
#include "protocol/error.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
	unsigned code;
	const char *name;
} table[] = {
    {100, "malformed"},
    {101, "frame_too_large"},
    {102, "no_common_version"},
    {103, "hello_expected"},
    {104, "unknown_op"},
    {105, "bad_argument"},
    {200, "entry_before_meta"},
    {201, "meta_missing"},
    {202, "replica_type_mismatch"},
    {203, "sync_mode_mismatch"},
    {204, "bad_meta"},
    {205, "too_large"},
    {300, "conflict"},
    {301, "changed"},
    {400, "busy"},
    {401, "denied"},
    {402, "read_only"},
    {403, "store_in_use"},
    {404, "too_many_connections"},
    {500, "disk_full"},
    {501, "io_error"},
    {502, "corrupt"},
    {503, "draining"},
    {504, "incompatible_format"},
    {505, "no_such_store"},
};

Test(error, names)
{
	size_t known = 0;

	for (size_t i = 0; i < LENGTH(table); i++) {
		cr_expect_str_eq(error_name(table[i].code), table[i].name);
		cr_expect_gt(strlen(error_meaning(table[i].code)), 10);
	}
	for (unsigned code = 0; code < 1000; code++)
		known += strcmp(error_name(code), "unknown_error") != 0;
	cr_expect_eq(known, LENGTH(table), "and no others");
	cr_expect_str_eq(error_name(UINT64_MAX), "unknown_error");
	cr_expect_str_eq(error_name(UINT64_C(0x100000064)), "unknown_error", "not cut to 32 bits");
	cr_expect_gt(strlen(error_meaning(0)), 10);
}

Test(error, reasons_outside_a_write)
{
	cr_expect(!error_is_outside(ERROR_NONE));
	cr_expect(!error_is_outside(ERROR_BAD_ARGUMENT));
	cr_expect(!error_is_outside(ERROR_CONFLICT));
	cr_expect(!error_is_outside(399));
	cr_expect(error_is_outside(ERROR_BUSY));
	cr_expect(error_is_outside(ERROR_NO_SUCH_STORE));
	cr_expect(!error_is_outside(600));
}

/* "| 100 | `malformed` | what it means |", and then whatever else the document has to say. */
static bool is_row(const char *line, unsigned code)
{
	char row[256];

	snprintf(row, sizeof(row), "| %u | `%s` | %s |", code, error_name(code), error_meaning(code));
	return strncmp(line, row, strlen(row)) == 0;
}

Test(error, the_document_has_the_same_table)
{
	bool found[LENGTH(table)] = {false};
	FILE *file = fopen(SOURCE_ROOT "/protocol/PROTOCOL.md", "r");
	char *line = NULL;
	size_t size = 0;

	cr_assert_not_null(file, "protocol/PROTOCOL.md");
	while (getline(&line, &size, file) > 0) {
		for (size_t i = 0; i < LENGTH(table); i++)
			found[i] = found[i] || is_row(line, table[i].code);
	}
	free(line);
	fclose(file);
	for (size_t i = 0; i < LENGTH(table); i++)
		cr_expect(found[i], "PROTOCOL.md has no row for %u %s", table[i].code, table[i].name);
}
