/*
 * utf8: is this valid UTF-8? (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF)
 */
#ifndef KYNETA_PROTOCOL_UTF8_H
#define KYNETA_PROTOCOL_UTF8_H

#include "protocol/span.h"

bool utf8_valid(struct span text);

#endif
