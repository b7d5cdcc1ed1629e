/* pattern.c - see pattern.h. */
#include "lora/pattern.h"

#include "base/core/buf.h"
#include "base/core/mem.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    MAX_TEXT = 16384,   // bytes of a pattern
    MAX_STEPS = 100000, // of one match; ordinary patterns take hundreds
    MAX_NEST = 50,      // parentheses
    MAX_HEAP_KIB = 20000,
};

struct lorac_pattern {
    const char *text; // borrowed, for messages
    pcre2_general_context *memory;
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
};

static void *take(PCRE2_SIZE n, void *unused)
{
    (void)unused;
    return lorac_mem_new(n, 1);
}

static void give(void *p, void *unused)
{
    (void)unused;
    lorac_mem_free(p);
}

/* PCRE2 before 10.43 takes {,3} for four plain characters, Python for "at most 3". [: opens a POSIX
 * class here and is a plain character there. */
static const char *differs(const char *text)
{
    if (strstr(text, "{,")) { return "'{,' has no fixed meaning: write {0,n}"; }
    if (strstr(text, "[[:")) { return "'[[:' has no fixed meaning: write the characters out"; }
    return NULL;
}

static enum lorac_status compile(struct lorac_pattern *p, const char *whole,
                                 enum lorac_pattern_kind kind, struct lorac_err *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(p->memory);
    if (!context) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a pattern"); }
    (void)pcre2_set_parens_nest_limit(context, MAX_NEST);
    uint32_t options = PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF;
    if (kind == LORAC_PATTERN_FULL) { options |= PCRE2_ENDANCHORED; }
    int code = 0;
    PCRE2_SIZE at = 0;
    p->code = pcre2_compile((PCRE2_SPTR)whole, PCRE2_ZERO_TERMINATED, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (p->code) { return LORAC_OK; }
    if (code == PCRE2_ERROR_HEAP_FAILED) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory for a pattern");
    }
    char why[120] = "";
    (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
    size_t before = kind == LORAC_PATTERN_TAIL ? strlen("(.*\\.)?(") : 0;
    size_t place = at - before; // behind the text stands what is ours
    size_t n = strlen(p->text);
    return lorac_fail(err, LORAC_EUSER,
                      "'%.100s' is no regular expression that is understood: %s at character %zu",
                      p->text, why,
                      at < before ? 0
                      : place < n ? place
                                  : n);
}

enum lorac_status lorac_pattern_new(struct lorac_pattern **out, const char *text,
                                    enum lorac_pattern_kind kind, struct lorac_err *err)
{
    *out = NULL;
    const char *why = strlen(text) > MAX_TEXT ? "is too long" : differs(text);
    if (why) { return lorac_fail(err, LORAC_EUSER, "the pattern '%.100s': %s", text, why); }
    struct lorac_buf whole = {0};
    enum lorac_status st = LORAC_OK;
    struct lorac_pattern *p = lorac_mem_new(1, sizeof *p);
    bool tail = kind == LORAC_PATTERN_TAIL;
    lorac_buf_str(&whole, tail ? "(.*\\.)?(" : "");
    lorac_buf_str(&whole, text);
    lorac_buf_str(&whole, tail ? ")$" : "");
    if (p) { p->memory = pcre2_general_context_create(take, give, NULL); }
    if (!p || !p->memory || whole.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for a pattern");
        goto done;
    }
    p->text = text;
    st = compile(p, whole.at, kind, err);
    if (st) { goto done; }
    p->match = pcre2_match_data_create(1, p->memory);
    p->limits = pcre2_match_context_create(p->memory);
    if (!p->match || !p->limits) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for a pattern");
        goto done;
    }
    (void)pcre2_set_match_limit(p->limits, MAX_STEPS);
    (void)pcre2_set_heap_limit(p->limits, MAX_HEAP_KIB);
done:
    lorac_buf_free(&whole);
    if (st) { lorac_pattern_free(p); }
    *out = st ? NULL : p;
    return st;
}

void lorac_pattern_free(struct lorac_pattern *p)
{
    if (!p) { return; }
    pcre2_match_context_free(p->limits);
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->code);
    pcre2_general_context_free(p->memory);
    lorac_mem_free(p);
}

enum lorac_status lorac_pattern_fits(bool *fits, const struct lorac_pattern *p, const char *name,
                                     struct lorac_err *err)
{
    int rc = pcre2_match(p->code, (PCRE2_SPTR)name, strlen(name), 0, 0, p->match, p->limits);
    *fits = rc >= 0;
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) { return LORAC_OK; }
    if (rc == PCRE2_ERROR_NOMEMORY) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory to match a pattern");
    }
    return lorac_fail(err, LORAC_EUSER,
                      "the pattern '%.100s' takes too many steps on '%.100s': simplify it", p->text,
                      name);
}
