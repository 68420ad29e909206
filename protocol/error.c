/*
 * error: names and meanings, from the one table.
 */
#include "protocol/error.h"

const char *error_name(uint64_t code)
{
	switch (code) {
#define X(constant, number, name, meaning)                                                                             \
	case number:                                                                                                   \
		return #name;
		ERROR_LIST(X)
#undef X
	default:
		return "unknown_error";
	}
}

const char *error_meaning(uint64_t code)
{
	switch (code) {
#define X(constant, number, name, meaning)                                                                             \
	case number:                                                                                                   \
		return meaning;
		ERROR_LIST(X)
#undef X
	default:
		return "an error that this version does not know";
	}
}
