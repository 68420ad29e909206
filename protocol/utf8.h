/*
 * utf8: is this valid UTF-8? (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF)
 */
#ifndef KYNETA_PROTOCOL_UTF8_H
#define KYNETA_PROTOCOL_UTF8_H

#include "protocol/span.h"

bool utf8_valid(struct span text);

/* utf8_prefix(text) - how many bytes from the start are valid UTF-8, ending between two characters. */
size_t utf8_prefix(struct span text);

#endif
