/* failure: filled in whole, cut at a character. */
#include "daemon/failure.h"

#include "protocol/utf8.h"

#include <criterion/criterion.h>
#include <string.h>

Test(failure, filled_in)
{
	struct failure failure;

	memset(&failure, 0xff, sizeof(failure));
	cr_assert_eq(failure_set(&failure, ERROR_CORRUPT, "%s at %d", "table", 7), ERROR_CORRUPT);
	cr_assert_eq(failure.code, ERROR_CORRUPT);
	cr_assert_not(failure.fatal);
	cr_assert_null(failure.detail);
	cr_assert_str_eq(failure.message, "table at 7");
}

Test(failure, may_be_absent)
{
	cr_assert_eq(failure_set(NULL, ERROR_IO_ERROR, "nobody hears"), ERROR_IO_ERROR);
}

Test(failure, cut_at_a_character)
{
	static const char *const characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

	for (size_t i = 0; i < sizeof(characters) / sizeof(characters[0]); i++)
		for (size_t shift = 0; shift < 4; shift++) {
			struct failure failure;
			char text[FAILURE_MESSAGE_SIZE * 2] = "";
			size_t width = strlen(characters[i]);

			memset(text, '.', shift);
			while (strlen(text) + width < sizeof(text))
				strcat(text, characters[i]);
			failure_set(&failure, ERROR_IO_ERROR, "%s", text);
			size_t size = strlen(failure.message);

			cr_assert(utf8_valid(span_of(failure.message, size)));
			cr_assert_gt(size + width, FAILURE_MESSAGE_SIZE - 1);
			cr_assert_eq(memcmp(failure.message, text, size), 0);
		}
}
