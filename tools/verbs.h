/* verbs.h - the table of verbs; adding one is a file cmd_<verb>.c and a line in main.c. */
#ifndef LORAC_TOOLS_VERBS_H
#define LORAC_TOOLS_VERBS_H

#include "tools/args.h"
#include <lorac/datasets.h>
#include <lorac/lora.h>
#include <lorac/recipes.h>
#include <stdio.h>

extern const struct verb verb_train, verb_eval, verb_predict, verb_generate, verb_score,
    verb_tokenize, verb_tokenizer, verb_merge, verb_inspect, verb_recipe, verb_plan, verb_diff,
    verb_report, verb_init, verb_embed, verb_next, verb_compare, verb_prompt, verb_chat, verb_serve,
    verb_sweep, verb_runs;

/* "lorac: ERROR" on stderr; returns the exit code for it: of LORAC_ESTOP, that of the signal. */
int complain(const struct lorac_err *err);

/* The other processes that do the verb with this one, or NULL (world.c). All run it from main() on:
 * rank 0 alone is heard, and complain() tells the first error of all. */
struct lorac_ranks *world(void);
enum lorac_status world_begin(const struct verb *v, struct lorac_err *err);
int world_end(int code); // the last call: the exit code

/* The folder of `given`, what stands behind `option` ("" for a word of its own): itself, or a
 * snapshot in the Hub's cache (base/checkpoint/hub.h), which is told. A new string
 * (lorac_mem_free). */
enum lorac_status find_folder(char **out, const char *option, const char *given,
                              struct lorac_err *err);

/* ---- models with adapters, as most verbs need them (cmd_common.c) ---- */

/* A model folder, its tokenizer, and the adapters of --adapter DIR[:scale]. */
struct bench {
    struct lorac_device dev;
    struct lorac_model *model;
    struct lorac_tokenizer *tokenizer;
    struct lorac_adapter *adapters[LORAC_MAX_STACK];
    struct lorac_stack stack;
    struct lorac_socket socket;
    bool chat; // --chat was given
};
enum lorac_status bench_open(struct bench *b, const struct args *a, bool tokenizer,
                             struct lorac_err *err);
/* That refuses an encoder, which continues no text. This does not, and opens the head of any task;
 * --compute is read, as always. LORAC_TASKS: that of the first --adapter. */
enum lorac_status bench_open_for(struct bench *b, const struct args *a, enum lorac_task task,
                                 bool tokenizer, struct lorac_err *err);
/* The adapter of a folder; one that changes nothing is refused, too, unless `force`. */
LORAC_MUST_CHECK enum lorac_status load_adapter(struct lorac_adapter **out,
                                                const struct lorac_model *m, const char *given,
                                                bool force, struct lorac_err *err);
/* One adapter of "DIR[:SCALE]" for the bench's model; the caller frees it. */
enum lorac_status bench_adapter(struct lorac_adapter **out, float *scale, const struct bench *b,
                                const char *text, bool force, struct lorac_err *err);
/* The token that stands for one to be guessed, of an encoder's tokenizer. */
LORAC_MUST_CHECK enum lorac_status bench_mask(int32_t *mask, const struct bench *b,
                                              struct lorac_err *err);
void bench_close(struct bench *b);
const struct lorac_socket *bench_socket(struct bench *b); // NULL without adapters
#define MODEL_OPTIONS                                                                              \
    {"--model", "DIR", "the base model: a folder, or OWNER/NAME in the Hub's cache", true, false}, \
        {"--adapter", "DIR[:SCALE]", "a PEFT adapter on it", false, true},                         \
        {"--force", NULL, "take an adapter of another base, or one that changes nothing", false,   \
         false},                                                                                   \
        COMPUTE_OPTIONS
#define COMPUTE_OPTIONS                                                                   \
    {"--threads", "0..4096", "threads to compute with (default: 0, one per core)", false, \
     false}, /* the range of train.threads */                                             \
    {                                                                                     \
        "--compute", "float32|bfloat16|int8|auto",                                        \
            "what products are computed in (default: float32)", false, false              \
    }

/* The options of SAMPLING_OPTIONS; `stops` is what o->stop points to. */
enum lorac_status read_sampling(struct lorac_sampling *o, const char *stops[MAX_GIVEN],
                                const struct args *a, struct lorac_err *err);
#define SAMPLING_OPTIONS                                                                          \
    {"--max-tokens", "N", "new tokens at the most (default: 128)", false, false},                 \
        {"--temperature", "T", "0 takes the likeliest token, always (default: 0)", false, false}, \
        {"--top-k", "K", "draw among the K likeliest (default: all)", false, false},              \
        {"--top-p", "P", "draw among the likeliest that reach P (default: 1)", false, false},     \
        {"--repetition-penalty", "X", "make tokens that were there less likely (default: 1)",     \
         false, false},                                                                           \
        {"--stop", "TEXT", "end before this text", false, true},                                  \
    {                                                                                             \
        "--seed", "N", "of the draws (default: 0)", false, false                                  \
    }

/* The ids of --prompt: through the template that the adapters carry (filled by --field, too) unless
 * --raw, or with --chat through the model's chat template. */
enum lorac_status bench_prompt(struct lorac_ids *ids, const struct bench *b, const struct args *a,
                               struct lorac_err *err);
/* The same of a text that is at hand. */
enum lorac_status bench_prompt_of(struct lorac_ids *ids, const struct bench *b,
                                  const struct args *a, const struct lorac_buf *prompt,
                                  struct lorac_err *err);
/* values (n): of --field for the variables named, and `text`, which `option` gave, for the only one
 * without. Those that may be blank (`optional`) are, where no --field names them. */
enum lorac_status fields_fill(struct lorac_cell *values, const char *const *names,
                              const bool *optional, size_t n, const struct args *a,
                              const char *option, const struct lorac_buf *text,
                              struct lorac_err *err);
/* Who fills the variables of a template: values (n) of `names`; those that are `optional` may be
 * blank. */
struct filler {
    enum lorac_status (*fill)(const void *self, struct lorac_cell *values, const char *const *names,
                              const bool *optional, size_t n, struct lorac_err *err);
    const void *self;
};
/* An adapter's prompt, filled: its ids, or, unless NULL, its text. */
enum lorac_status saved_prompt(struct lorac_ids *ids, struct lorac_buf *text,
                               const struct lorac_saved *saved, const struct lorac_tokenizer *t,
                               const struct filler *filler, struct lorac_err *err);
/* The template that the adapters carry, where they have one and agree; else NULL (lorac_mem_free).
 */
enum lorac_status bench_template(struct lorac_saved **out, const struct bench *b,
                                 struct lorac_err *err);

/* How chats are written for who answers (form.c): by the chat template of the adapter's folder,
 * where it brings one, else by the model's. */
struct form {
    struct lorac_chat *chat;
    struct lorac_saved *saved; // what its adapter was trained with, or NULL
};
LORAC_MUST_CHECK enum lorac_status form_open(struct form *f, const struct lorac_model *m,
                                             const struct lorac_tokenizer *t,
                                             const struct lorac_adapter *a, // NULL: the base
                                             struct lorac_err *err);
void form_close(struct form *f);        // of a zeroed one, too
int64_t form_day(const struct form *f); // that its template takes for today
/* The first adapter's, or the base's. */
enum lorac_status bench_form(struct form *f, const struct bench *b, struct lorac_err *err);
/* Append the ids of a conversation; where it begins without the system's words, with those that the
 * adapter was trained with in front. LORAC_EUSER: those hold a variable. */
LORAC_MUST_CHECK enum lorac_status form_encode(struct lorac_ids *ids, const struct form *f,
                                               const struct lorac_messages *m, bool answer,
                                               struct lorac_err *err);
/* The same of a whole one; `answers` as lorac_chat_answers() marks them. */
LORAC_MUST_CHECK enum lorac_status form_answers(struct lorac_ids *ids, struct lorac_buf *answers,
                                                const struct form *f,
                                                const struct lorac_messages *m,
                                                struct lorac_err *err);
#define PROMPT_OPTIONS                                                                       \
    {"--prompt", "TEXT", "what to continue; - reads standard input", true, false},           \
        {"--field", "NAME=VALUE", "fill a variable of the adapter's template", false, true}, \
    {                                                                                        \
        "--raw", NULL, "prompt as given, without the adapter's template", false, false       \
    }

#define CHAT_OPTIONS                                                                       \
    {"--chat", NULL, "prompt through the model's chat template, as a user", false, false}, \
    {                                                                                      \
        "--system", "TEXT", "with --chat: what the system says first", false, false        \
    }

/* The adapters' labels behind a prompt, the likeliest first (labels.c). Zeroed = empty. */
struct label_answer {
    struct lorac_saved *saved;
    const char *const *labels;   // (K) its own
    struct lorac_ranked *ranked; // (K), or the likeliest alone
    size_t K;
};
/* `all`: with the probabilities of all. Otherwise the likeliest alone, without its probability:
 * labels that cannot win do not run (choose.h). */
enum lorac_status bench_labels(struct label_answer *a, struct bench *b,
                               const struct lorac_ids *prompt, bool all, struct lorac_err *err);
void label_answer_free(struct label_answer *a);
/* The labels that an adapter was trained to choose from, as tokens behind its prompt; `chat`: where
 * it was trained on chats. */
enum lorac_status labels_tree(struct lorac_tree *tree, const struct lorac_saved *s,
                              const struct lorac_chat *chat, const struct lorac_tokenizer *t,
                              struct lorac_err *err);

/* Do both paths lead to the same file? */
bool is_one_file(const char *a, const char *b);
/* All of a file, or of standard input for "-". Owned by the caller (lorac_buf_free). */
enum lorac_status read_text(struct lorac_buf *out, const char *path, struct lorac_err *err);

/* Ids from text such as "1,2,3", "1 2 3" or "[1, 2, 3]". */
enum lorac_status read_ids(struct lorac_ids *ids, const char *text, struct lorac_err *err);

/* The likeliest tokens behind a prompt, of the base and with the bench's adapters, as `lorac next`
 * shows them (cmd_next.c); returns the exit code. `utf8`: draws_blocks(), which looks at the user's
 * locale and is to be called while there is one thread. */
int show_next(struct bench *b, const struct lorac_ids *prompt, size_t top, bool utf8, bool as_json);
bool draws_blocks(void);

/* ---- notes, on stderr (notes.c) ---- */

/* Of a generation without text: why there is none. */
void note_nothing(const struct bench *b, const struct lorac_ids *ids, const struct lorac_buf *text,
                  enum lorac_finish finish);
/* Of the likeliest next token, where it ends the text. */
void note_next(const struct bench *b, int32_t id);
/* Of an adapter's own chat template and, with t, the base's, tokenizer: they are not used. */
void note_adapter(const struct lorac_adapter *a, const struct lorac_model *m,
                  const struct lorac_tokenizer *t);

/* ---- what is shown ---- */

/* A JSON object on one line, built key by key; zeroed = empty. */
struct out {
    struct lorac_buf b;
    size_t n;     // keys or elements so far, of the innermost object or array that is open
    char ends[8]; // (open) what ends each that is open inside of it
    size_t open;
};
/* An object ("{}") or array ("[]") under a key: what follows is in it until out_end(). Elements of
 * an array have the key NULL. */
void out_begin(struct out *j, const char *key, const char *brackets);
void out_end(struct out *j);
void out_text(struct out *j, const char *key, const char *text, size_t n);
void out_str(struct out *j, const char *key, const char *text);
void out_strs(struct out *j, const char *key, const char *const *texts, size_t n);
void out_count(struct out *j, const char *key, size_t v);
void out_real(struct out *j, const char *key, double v); // NaN and infinity become null
void out_bool(struct out *j, const char *key, bool v);
void out_ids(struct out *j, const char *key, const int32_t *ids, size_t n);
void out_raw(struct out *j, const char *key, const char *json);
void out_labels(struct out *j, const char *const *labels, const struct lorac_ranked *ranked,
                size_t top);  // "top": [{"label", "probability", "log_likelihood"}, ...]
int out_print(struct out *j); // prints, frees, returns the exit code

/* What was measured, but for loss and perplexity: "  accuracy 0.9000  macro F1 0.8500". */
void show_metrics(struct lorac_buf *b, const struct lorac_scores *s);
void out_metrics(struct out *j, const struct lorac_scores *s);

/* "1.2 MiB", "3:05", "1,234,567" into a caller's text. */
const char *show_bytes(char text[32], size_t bytes);
const char *show_time(char text[32], double seconds);
const char *show_count(char text[32], size_t n);
/* "1 row", "1,234 rows". */
const char *show_many(char text[48], size_t n, const char *thing);
/* What is generated, piece by piece (lorac_generate); *self, a bool: not on stdout. False: stop. */
bool show_generated(void *self, const char *text, size_t n);
size_t show_columns(FILE *to); // of the terminal that it is; COLUMNS or 80 where that says nothing
size_t show_room(FILE *to);    // the same; SIZE_MAX where it is no terminal

/* In layout.c: the columns that a text takes; it cut and filled up to `width`; and whole, behind
 * `front`, in lines of the terminal's width that begin below its own beginning. Where that is none
 * it is one line. */
size_t show_width(const char *text);
void show_cell(FILE *to, const char *text, size_t width);
void show_wrapped(FILE *to, const char *front, const char *text);
void show_parts(FILE *to, const char *front,
                const char *text); // the same, at two blanks: "loss 1.2  F1 0.9"

/* Text on one line: what would end it, move the cursor or colour the terminal is written as \n,
 * \x1b. */
void show_text(FILE *to, const char *text, size_t n);
/* A word of a command to be copied, quoted where a shell needs it. */
void show_word(FILE *to, const char *word);

/* A line that is drawn over itself on a terminal, and printed now and then elsewhere. */
struct status_line {
    bool terminal;
    double shown; // when
    size_t width;
    const char *doing;        // of status_share(), as what follows
    double begun, from, done; // when, at which share; the last one
};
void status_begin(struct status_line *s);
/* Show `text`, of which a narrow terminal leaves out what is behind two blanks; without a terminal
 * only where the last one is 10 s old, or `always`. */
void status_show(struct status_line *s, const char *text, bool always);
/* "evaluating 34 %  0:12 left": of a work of its own where `doing` is another pointer, or `done`,
 * 0 to 1, has fallen. */
void status_share(struct status_line *s, const char *doing, double done);
void status_clear(struct status_line *s); // before other output

/* ---- signals (signals.c) ----
 *
 * A verb that works for long calls stop_on_signals() and asks stop_asked() wherever it can end: in
 * the callbacks of an evaluation, a prediction, a generated text. It then ends with stop_code():
 * complain() does so of LORAC_ESTOP. */

/* SIGINT, SIGTERM and SIGHUP ask to stop; a second one ends the program at once. */
void stop_on_signals(void);
bool stop_asked(void);
int stop_code(void); // of a program that the signal ended early, as shells tell it: 130, 143
/* Ctrl-C stopped an answer, not the session: it is forgotten, and the next one is heard again.
 * False where nothing, or another signal, asked to stop. */
bool stop_forget(void);

#endif
