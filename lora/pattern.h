/*
 * pattern.h - regular expressions on module names, as Python's re would match them.
 *
 * PCRE2 does the work, with a limit on its steps, so that a hostile pattern is an error and not a
 * hang. The two dialects agree on what such patterns hold in practice; where PCRE2 would read
 * Python's notation as something else, the pattern is refused.
 */
#ifndef LORAC_LORA_PATTERN_H
#define LORAC_LORA_PATTERN_H

#include "base/core/err.h"
#include <stdbool.h>

struct lorac_pattern;

enum lorac_pattern_kind {
    LORAC_PATTERN_FULL, // re.fullmatch(text, name)
    LORAC_PATTERN_TAIL, // re.match(rf"(.*\.)?({text})$", name): PEFT's keys of rank_pattern
};

/* Compile `text`. LORAC_EUSER says what is wrong with it; the text is quoted in the message. */
LORAC_MUST_CHECK enum lorac_status lorac_pattern_new(struct lorac_pattern **out, const char *text,
                                                     enum lorac_pattern_kind kind,
                                                     struct lorac_err *err);
void lorac_pattern_free(struct lorac_pattern *p);
LORAC_MUST_CHECK enum lorac_status lorac_pattern_fits(bool *fits, const struct lorac_pattern *p,
                                                      const char *name, struct lorac_err *err);

#endif
