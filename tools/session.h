/* session.h - what prompt and chat share: one loaded base whose adapters change meanwhile, and the
 * lines of a terminal (edited, remembered) or a script. */
#ifndef LORAC_TOOLS_SESSION_H
#define LORAC_TOOLS_SESSION_H

#include "tools/verbs.h"

enum { SESSION_MOST_KEPT = 32 };

/* An adapter that was used once stays loaded. */
struct session_kept {
    char *text; // as typed: DIR[:SCALE]
    struct lorac_adapter *adapter;
    float scale;
};

struct session {
    const struct args *a;
    struct bench b;
    struct lorac_generator *g;
    struct lorac_sampling o;
    const char *stops[MAX_GIVEN];
    struct session_kept kept[SESSION_MOST_KEPT];
    size_t n_kept;
    const char *now; // what answers: an adapter as typed, or "the base"
    bool terminal, as_json;
    bool utf8; // the user's locale
};

/* Options first: *usage where they are wrong. --model, COMPUTE_OPTIONS, SAMPLING_OPTIONS, --force
 * and --json are read. */
enum lorac_status session_open(struct session *s, const struct args *a, bool *usage,
                               struct lorac_err *err);
void session_close(struct session *s);

/* Answer with these from now on: an adapter as typed, or NULL for the base. Told unless `quiet`. */
enum lorac_status session_use(struct session *s, const char *adapter, bool quiet,
                              struct lorac_err *err);
/* What is generated behind the ids, shown as it comes unless --json; `text` is replaced. A Ctrl-C
 * ends it (LORAC_FINISH_CALLER). */
enum lorac_status session_generate(struct lorac_buf *text, enum lorac_finish *finish,
                                   struct session *s, const struct lorac_ids *prompt,
                                   struct lorac_err *err);

/* A line that begins with '/' and a word is a command: `rest` is what stands behind it. */
bool session_is(const char *line, const char *command, const char **rest);
/* /adapter, /base, /help and /quit; false: another one. */
bool session_obeys(bool *end, struct session *s, const char *line, const char *help,
                   enum lorac_status *st, struct lorac_err *err);

/* Each line in turn until the end of the input, or until `obey` sets *end. One that fails is told;
 * on a terminal the session goes on, a script ends with the exit code. */
typedef enum lorac_status session_obey(bool *end, void *self, const char *line,
                                       struct lorac_err *err);
int session_lines(struct session *s, session_obey *obey, void *self);

#endif
