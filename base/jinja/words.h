/* words.h - what filters and methods of texts share; see impl.h. */
#ifndef LORAC_BASE_JINJA_WORDS_H
#define LORAC_BASE_JINJA_WORDS_H

#include "base/core/number.h"
#include "base/jinja/impl.h"

/* JW_TITLE_FILTER: each word's first letter, words ending at blanks, - ( { [ <; JW_TITLE_METHOD:
 * each letter behind what is none. */
enum lorac_jcase { JW_UPPER, JW_LOWER, JW_CAPITALIZE, JW_TITLE_FILTER, JW_TITLE_METHOD };
struct lorac_jvalue lorac_jword_case(struct lorac_jrun *r, struct lorac_jstr s,
                                     enum lorac_jcase how);
/* The first `most` (< 0: all) of `old` become `new`. */
struct lorac_jvalue lorac_jword_replace(struct lorac_jrun *r, struct lorac_jstr s,
                                        struct lorac_jstr old, struct lorac_jstr new, int64_t most);
/* [(key, value), ...] of a dict. */
struct lorac_jvalue lorac_jword_items(struct lorac_jrun *r, struct lorac_jvalue dict,
                                      enum lorac_jform form);

#endif
