/*
 * jinja.h - the template language of chat templates: Jinja2 as transformers sets it up
 * (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls, generation blocks).
 *
 * The reference is Jinja2 3.1.6 with transformers/utils/chat_template_utils.py. Deliberate
 * differences: whole numbers are of 64 bits (more is an error), and what has no use in a chat
 * (include, import, extends, block, with, raw, string formatting with %) is refused with its place.
 *
 * Every byte of the output knows where it came from: see the marks. They follow a text through
 * slices, joins, filters and macros, so that a special token in what somebody typed stays text,
 * and generation blocks are found wherever they are.
 */
#ifndef LORAC_BASE_JINJA_H
#define LORAC_BASE_JINJA_H

#include "base/core/buf.h"
#include "base/core/err.h"
#include <jansson.h>
#include <stdint.h>

struct lorac_jinja; // a template, parsed; immutable, several threads may render it

enum {
    LORAC_JINJA_MAX_TEXT = 1 << 20,    // bytes of a template
    LORAC_JINJA_MAX_OUTPUT = 16 << 20, // bytes of what it makes
};

/* `name` is what messages call it: "NAME:LINE:COLUMN: ...". LORAC_EFORMAT: no template;
 * LORAC_ENOTSUP: one with statements that are not understood here. */
LORAC_MUST_CHECK enum lorac_status lorac_jinja_parse(struct lorac_jinja **out, const char *text,
                                                     size_t n, const char *name,
                                                     struct lorac_err *err);
void lorac_jinja_free(struct lorac_jinja *t); // NULL is accepted

/* What a byte of the output is, one byte of `mark` each. */
enum {
    LORAC_JINJA_INPUT = 1,     // comes from `input`
    LORAC_JINJA_GENERATED = 2, // was written within {% generation %}
};
struct lorac_jinja_text {
    struct lorac_buf text; // UTF-8
    struct lorac_buf mark; // as long
};
void lorac_jinja_text_free(struct lorac_jinja_text *t);

/* Variables are the members of two objects: `own` (the tokenizer's tokens, switches), whose texts
 * are as the template's own, and `input` (messages, tools), whose texts are marked, but for the
 * values of "role" that are plain words. Of a name in both, input's counts. Either may be NULL.
 * `now` (seconds of the epoch) is what strftime_now() shows, in local time.
 *
 * LORAC_EUSER: the template refuses (raise_exception), or does what cannot be done, as adding a
 * number to a text; LORAC_ENOTSUP: it uses what is not there, or needs more than the limits. */
LORAC_MUST_CHECK enum lorac_status lorac_jinja_render(struct lorac_jinja_text *out,
                                                      const struct lorac_jinja *t,
                                                      const json_t *own, const json_t *input,
                                                      int64_t now, struct lorac_err *err);
/* Whether the template has generation blocks. */
bool lorac_jinja_generates(const struct lorac_jinja *t);

#endif
