/*
 * datasets.h - a table of text, or plain text, becomes packed batches.
 *
 *   reviews.csv --table--> cells --template--> stretches --tokenizer--> ids, each trained or not
 *                                                                        |
 *   micro-batches without padding  <--loader--  lengths of all rows  <---+  dataset
 *
 *   book.txt --texts--> documents --tokenizer--> pieces of ids, all trained --> the same dataset
 *
 * Rules that hold everywhere:
 *   - a cell is text, whatever it looks like: no NA words, no numbers, no trimming;
 *   - nothing is left out in silence: every row is used, or counted under a reason with its line
 *     number, or the reason is an error that names the line;
 *   - the prompt is tokenised on its own, exactly as for generation, and the completion on its own
 *     as its continuation; so no token ever straddles the two, and what is trained is decided on
 *     ids;
 *   - the last token that is trained is EOS (append_eos), appended as an id and never twice;
 *   - order, split and batches are functions of the seed; a loader's state is two numbers.
 *
 * Options are plain structs that the caller fills; strings in them are borrowed for the call only,
 * unless a comment says otherwise. Objects are immutable once open (the loader, the row and example
 * buffers are not); several threads may read one table or dataset through buffers of their own.
 */
#ifndef LORAC_DATASETS_DATASETS_H
#define LORAC_DATASETS_DATASETS_H

#include "base/batch.h"
#include "base/chat.h"
#include "base/core/buf.h"
#include "base/core/err.h"
#include "base/tokenizer/tokenizer.h"
#include "datasets/objective.h"
#include "datasets/passages.h"
#include "datasets/tables.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

/* ---- texts --------------------------------------------------------------------------------------
 * Files of plain text as documents: a file is one, or those between the separators, which belong to
 * none. A document of white space alone is left out and counted. Otherwise every byte counts:
 * nothing is trimmed. UTF-8, its byte order mark removed. Files stay mapped until the texts are
 * closed. */
struct lorac_texts;
/* `separator` NULL: each file is one document. A file without a document is LORAC_EFORMAT. */
LORAC_MUST_CHECK enum lorac_status lorac_texts_open(struct lorac_texts **out,
                                                    const char *const *files, size_t n_files,
                                                    const char *separator, struct lorac_err *err);
size_t lorac_texts_separators(const struct lorac_texts *t); // how often it stands in the files
void lorac_texts_close(struct lorac_texts *t);
/* Hold round(documents * fraction) documents out, drawn by `seed` (stream "split"). Where that is
 * less than LORAC_MIN_HELD_OUT, too few to speak for the rest, every document is cut instead: its
 * last part, `fraction` of its bytes from a line's beginning on, is held out as a document of its
 * own. */
enum { LORAC_MIN_HELD_OUT = 10 };
LORAC_MUST_CHECK enum lorac_status lorac_texts_split(struct lorac_texts *t, double fraction,
                                                     uint64_t seed, struct lorac_err *err);

/* ---- classes and splits -------------------------------------------------------------------------
 */

/* The distinct values of a column, in order of first appearance. */
struct lorac_classes {
    size_t K;         // values
    char **value;     // (K) NUL-terminated
    size_t *count;    // (K) rows of each
    uint32_t *of_row; // (rows of the table)
    bool lists;       // some of several labels stood in a list of JSON lines
};
/* More than `max` distinct values are LORAC_EUSER: the column holds free text. */
LORAC_MUST_CHECK enum lorac_status lorac_classes_find(struct lorac_classes *out,
                                                      const struct lorac_table *t, size_t column,
                                                      size_t max, struct lorac_err *err);
void lorac_classes_free(struct lorac_classes *c);

/* The distinct labels of a column whose cells hold one each, or several; of_row is NULL, and what
 * is blank, or no list that can be read, is none. */
struct lorac_collect_options {
    enum lorac_target target; // LORAC_TARGET_LABEL, or a kind of several
    const char *separator;    // between several; NULL: white space
    const uint32_t *rows;     // (n_rows) of the table; NULL: all
    size_t n_rows, max;
};
LORAC_MUST_CHECK enum lorac_status lorac_classes_collect(struct lorac_classes *out,
                                                         const struct lorac_table *t, size_t column,
                                                         const struct lorac_collect_options *o,
                                                         struct lorac_err *err);

/* Row indices, both lists ascending, together every row once. */
struct lorac_split {
    uint32_t *rest, *part; // (n_rest), (n_part)
    size_t n_rest, n_part;
};
/* Put round(n * fraction) of n rows into `part`, drawn by `seed` (stream "split"). With `classes`
 * each value gets its share: floor(n_k * fraction), and what is missing to the total goes to the
 * largest remainders (ties: the earlier class). An empty half is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_split_make(struct lorac_split *out, size_t n,
                                                    double fraction,
                                                    const struct lorac_classes *classes,
                                                    uint64_t seed, struct lorac_err *err);
void lorac_split_free(struct lorac_split *s);

/* ---- templates ----------------------------------------------------------------------------------
 * "Review: {text}\nSentiment:" - text with variables in braces; "{{" and "}}" are braces. The
 * template's own text may hold special tokens ("<|im_end|>"), a cell's text never becomes one.
 *
 * "{task}{?input}\nInput: {input}{/input}" - what stands between {?name} and {/name} is an optional
 * part: it is there where the variable's cell is not blank. Optional parts do not nest. */
enum { LORAC_MAX_PARTS = 128 };

struct lorac_template;
struct lorac_template_options {
    const char *prompt;           // may be NULL or ""
    const char *completion;       // may be NULL or "", where only prompts are wanted
    bool pair;                    // it is the second of a pair of texts: template.pair
    const char *const *variables; // (n_variables) names that may stand in braces
    size_t n_variables;
    const char *hint; // what a message about an unknown variable ends with
                      // (lorac_table_delimiter_hint); NULL: nothing
};
/* Errors: "template.prompt:CHARACTER: ...". */
LORAC_MUST_CHECK enum lorac_status lorac_template_parse(struct lorac_template **out,
                                                        const struct lorac_template_options *o,
                                                        struct lorac_err *err);
void lorac_template_free(struct lorac_template *t);
bool lorac_template_uses(const struct lorac_template *t, size_t variable);
bool lorac_template_prompt_uses(const struct lorac_template *t, size_t variable);
bool lorac_template_completion_uses(const struct lorac_template *t, size_t variable);
/* Whether it stands in optional parts of its own alone, so that nothing is missing where its cell
 * is blank. */
bool lorac_template_is_optional(const struct lorac_template *t, size_t variable);
bool lorac_template_has_prompt(const struct lorac_template *t);
/* The names in braces in `text`, each once: *names (*n) of strings, one block to release with
 * lorac_mem_free(). */
LORAC_MUST_CHECK enum lorac_status lorac_template_variables(char ***names, size_t *n,
                                                            const char *text,
                                                            struct lorac_err *err);
bool lorac_template_has_completion(const struct lorac_template *t);

/* The stretches of the prompt (or of the completion) for the given values: literal parts
 * may be special, values may not. texts (LORAC_MAX_PARTS) written, borrows from both. Returns their
 * number. */
size_t lorac_template_prompt(struct lorac_text *texts, const struct lorac_template *t,
                             const struct lorac_cell *values);
size_t lorac_template_completion(struct lorac_text *texts, const struct lorac_template *t,
                                 const struct lorac_cell *values);
/* Append the prompt's ids, with BOS where the tokenizer puts one: what training and generation both
 * use. */
LORAC_MUST_CHECK enum lorac_status lorac_prompt_encode(struct lorac_ids *ids,
                                                       const struct lorac_template *t,
                                                       const struct lorac_tokenizer *tokenizer,
                                                       const struct lorac_cell *values,
                                                       struct lorac_err *err);
/* Append the completion's ids; EOS behind them where `append_eos`, unless it stands there already.
 * Where the template has no prompt the completion is itself the beginning, BOS included. */
LORAC_MUST_CHECK enum lorac_status lorac_completion_encode(struct lorac_ids *ids,
                                                           const struct lorac_template *t,
                                                           const struct lorac_tokenizer *tokenizer,
                                                           const struct lorac_cell *values,
                                                           bool append_eos, struct lorac_err *err);
/* How many tokens the tokenizer puts in front of a prompt: BOS, several, or none. */
LORAC_MUST_CHECK enum lorac_status lorac_prompt_begin(size_t *n, const struct lorac_tokenizer *t,
                                                      struct lorac_err *err);
/* Take `over` tokens out of a prompt, the first `prompt` of `ids`: what training, evaluation and
 * prediction do with one that is too long. Its start goes, but for the n_begin tokens of
 * lorac_prompt_begin() and BOS that the template writes itself. false, and nothing is done: not one
 * token of it would be left. */
bool lorac_prompt_cut(struct lorac_ids *ids, size_t prompt, size_t over, size_t n_begin,
                      const struct lorac_tokenizer *t);

/* ---- conversations ------------------------------------------------------------------------------
 * A row as a conversation in the form of a model's chat template: a whole one, JSON in one cell
 * (lorac_messages_read), or one turn, of which the template's prompt is what the user says and its
 * completion what the assistant answers. Trained are the answers with what ends them; special
 * tokens in what somebody says are text. The system speaks first or not at all, then the user and
 * the assistant take turns. Rows that say it otherwise are errors. */
struct lorac_conversations;

/* The texts of a row with template: chat. Without a prompt and completion of the recipe's own they
 * follow from the variables that there are: `messages` (its index; SIZE_MAX: no whole conversation,
 * otherwise the prompt only names what is read), or user, input and assistant. */
struct lorac_conversation_texts {
    const char *prompt, *completion, *system;
    size_t messages;
};
LORAC_MUST_CHECK enum lorac_status lorac_conversation_texts(struct lorac_conversation_texts *t,
                                                            const struct lorac_template_options *o,
                                                            struct lorac_err *err);

struct lorac_conversations_options {
    const struct lorac_chat *chat;           // borrowed, as long as the conversations
    const struct lorac_tokenizer *tokenizer; // borrowed, too
    struct lorac_template_options form;      // the recipe's prompt and completion, or NULL
    const char *system;                      // the recipe's; NULL: the variable system
    bool last;                               // the last answer alone is trained
    bool append_eos; // an answer that the chat template leaves open ends with EOS
    bool dated;      // `day` is given: without it templates that write a date are LORAC_EUSER
    int64_t day;     // lorac_day_parse()
};
LORAC_MUST_CHECK enum lorac_status lorac_conversations_open(
    struct lorac_conversations **out, const struct lorac_conversations_options *o,
    struct lorac_err *err);
void lorac_conversations_close(struct lorac_conversations *c);
const struct lorac_template *lorac_conversations_template(const struct lorac_conversations *c);
size_t lorac_conversations_messages(const struct lorac_conversations *c);
bool lorac_conversations_use(const struct lorac_conversations *c, size_t variable);
bool lorac_conversations_may_be_blank(const struct lorac_conversations *c, size_t variable);
/* Append the ids of what the model is asked with, for these values (one a variable); an answer
 * behind it, of a whole conversation, is left out. Where they are more than `max`, and `cuts`, the
 * oldest turns go, then the beginning of the user's last words. *cut: how many went; SIZE_MAX: it
 * does not fit, and nothing is appended. */
LORAC_MUST_CHECK enum lorac_status lorac_conversation_prompt(struct lorac_ids *ids, size_t *cut,
                                                             const struct lorac_conversations *c,
                                                             const struct lorac_cell *values,
                                                             size_t max, bool cuts,
                                                             struct lorac_err *err);
/* Append those of the last answer, and of what ends it. */
LORAC_MUST_CHECK enum lorac_status lorac_conversation_answer(struct lorac_ids *ids,
                                                             const struct lorac_conversations *c,
                                                             const struct lorac_cell *values,
                                                             struct lorac_err *err);

/* ---- datasets -----------------------------------------------------------------------------------
 */

struct lorac_shots;

enum lorac_on_bad { LORAC_BAD_ERROR, LORAC_BAD_SKIP, LORAC_BAD_KEEP };
enum lorac_on_duplicate { LORAC_DUPLICATE_WARN, LORAC_DUPLICATE_KEEP, LORAC_DUPLICATE_DROP };
enum lorac_train_on {
    LORAC_TRAIN_COMPLETION,
    LORAC_TRAIN_ALL,
    LORAC_TRAIN_ASSISTANT, // of a conversation all answers
    LORAC_TRAIN_LAST,      // the last one
};

/* Variable `name` of the template takes its values from `column` (a name or a number). */
struct lorac_variable {
    const char *name, *column;
};
/* A cell `value` of the label variable reads `label` in the template. */
struct lorac_label {
    const char *value, *label;
};

struct lorac_dataset_options {
    const struct lorac_variable *variables; // (n_variables); none: every column under its own name
    size_t n_variables;
    const char *label_variable;       // the one that `labels` map; NULL: "label"
    const struct lorac_label *labels; // (n_labels); none: cells are taken as they are
    size_t n_labels;
    enum lorac_on_bad on_unknown_label; // error | skip
    enum lorac_on_bad on_empty; // error | skip | keep; of the columns that the template uses
    enum lorac_on_long on_too_long;
    enum lorac_on_duplicate duplicates; // rows whose ids are the same
    const char *prompt, *completion;    // the template; with a head a text, and a pair's second
    const struct lorac_chat *chat;      // template: chat; outlives the dataset. NULL: text
    const char *system;                 // of a chat
    bool dated;                         // `day` is given
    int64_t day;
    bool append_eos;
    enum lorac_train_on train_on;
    size_t max_length; // tokens of prompt, completion and EOS
    size_t cache;      // keep all ids in memory where they take at most this many bytes
    const struct lorac_shots
        *shots;           // what every example goes on from; outlives the dataset. NULL: none
    const uint32_t *rows; // (n_rows) the table's rows to use, as of a split; NULL: all
    size_t n_rows;
    const struct lorac_objective *objective; // NULL: causal_lm. Of one with a target,
                                             // label_variable is its column: a variable, or a
                                             // column's name or number
    const char *const *classes;              // (K) its labels, in the order of the head's outputs
    size_t K;
    const char *separator;                  // of several labels in a cell
    const struct lorac_target_frame *frame; // outlives the dataset
    double mask_share;                      // of texts, as their options say
};

/* What a recipe says that says nothing: the template is missing. */
struct lorac_dataset_options lorac_dataset_options_default(void);

struct lorac_data_counts {
    size_t rows, used; // rows = used + skipped ones + dropped duplicates
    struct lorac_tally skipped_empty, skipped_long, skipped_label;
    struct lorac_tally kept_empty; // blank cells that were kept
    struct lorac_tally truncated;  // prompts that lost tokens; they are used
    struct lorac_tally duplicates; // same ids as an earlier row; used unless dropped
    uint64_t tokens, trained;      // of the used rows
    size_t last_trained_is_eos;    // used rows
    size_t longest, shortest;      // tokens of a used row
    size_t common; // tokens that all used rows begin with, up to the one before the first trained
    // of texts, whose rows are pieces of documents:
    size_t documents;                        // used
    size_t blank_documents, short_documents; // left out: white space alone, less than two tokens
    size_t special_pieces; // left out, of masks: special tokens alone, of which none can be hidden
    uint64_t bytes;        // of the documents' text: what their trained tokens spell; 0: of masks
};

/* Stretches of tokens behind trained_from that are not trained, [at[2k], at[2k+1]): what stands
 * between two answers of a conversation. n: numbers, two a stretch. */
struct lorac_gaps {
    uint32_t *at;
    size_t n, cap;
};
/* A row as the model reads it. Zeroed = empty; owns its memory (lorac_example_free). */
struct lorac_example {
    struct lorac_ids ids;      // prompt, completion, EOS
    size_t trained_from;       // token i is trained where i >= trained_from (>= 1),
    struct lorac_gaps gaps;    // and in no gap; the last token is trained
    struct lorac_ids types;    // of a pair: which text a token is of; else none
    struct lorac_ids labels;   // with a head no token is trained: its label; its labels, ascending;
                               // a tag a token, or LORAC_NO_LABEL; of masks the token itself
    double number;             // or its number
    struct lorac_row row;      // the cells that it was made of; not set where ids were kept
    struct lorac_cell *values; // (variables) the same after mapping
    size_t cap_values;
    struct lorac_encoder *encoder; // what its ids are made with
    struct lorac_passage passage;  // the same of a head's
};
void lorac_example_free(struct lorac_example *e);
bool lorac_example_trains(const struct lorac_example *e, size_t token);

struct lorac_dataset;
/* Tokenise every row once: 16 bytes a row are kept, ids are made again when asked for, or kept
 * (`cache`). The table and the tokenizer must outlive the dataset.
 *
 * A prompt that is too long loses tokens from its start, BOS stays; the completion is never cut:
 * where it does not fit behind one token, truncate_prompt is an error too. A row without a trained
 * token (an empty completion and no EOS) is treated as an empty cell is, but never kept. All rows
 * are looked at before an error is returned, so that its message counts them all. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_open(struct lorac_dataset **out,
                                                      const struct lorac_table *table,
                                                      const struct lorac_tokenizer *tokenizer,
                                                      const struct lorac_dataset_options *o,
                                                      struct lorac_err *err);
/* Documents in pieces of at most max_length tokens, all trained: BOS in front as the tokenizer puts
 * it, EOS behind where `append_eos` (not behind the beginning of a document that was cut). A piece
 * begins with the last token of the one before, so that every token but the document's first is
 * trained once. Ids are kept; the texts are not needed afterwards. A document is tokenised in
 * stretches of about `stretch` bytes that end at a line's end, so that time grows with the text and
 * memory does not.
 *
 * With an objective that masks, pieces follow each other without a common token, and each is framed
 * as the tokenizer frames a text; which of its tokens are hidden a loader draws. `trained` counts
 * about how many those are in one pass. */
struct lorac_text_options {
    bool held_out; // the documents held out by lorac_texts_split(); else the others
    bool append_eos;
    size_t max_length;
    size_t stretch;                          // 0: 256 KiB
    const struct lorac_objective *objective; // one without a target; NULL: causal_lm
    double mask_share;                       // of the tokens; where it masks
};
LORAC_MUST_CHECK enum lorac_status lorac_dataset_open_texts(struct lorac_dataset **out,
                                                            const struct lorac_texts *texts,
                                                            const struct lorac_tokenizer *tokenizer,
                                                            const struct lorac_text_options *o,
                                                            struct lorac_err *err);
void lorac_dataset_close(struct lorac_dataset *d);

const struct lorac_data_counts *lorac_dataset_counts(const struct lorac_dataset *d);
bool lorac_dataset_is_text(const struct lorac_dataset *d);
const char *lorac_dataset_file(const struct lorac_dataset *d); // of texts the first
const struct lorac_template *lorac_dataset_template(const struct lorac_dataset *d); // texts: NULL
/* Append the ids of the answer of a row that has these values, and of what ends it. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_answer(struct lorac_ids *ids,
                                                        const struct lorac_dataset *d,
                                                        const struct lorac_cell *values,
                                                        struct lorac_err *err);
const struct lorac_tokenizer *lorac_dataset_tokenizer(const struct lorac_dataset *d);
size_t lorac_dataset_max_length(const struct lorac_dataset *d);
const struct lorac_shots *lorac_dataset_shots(const struct lorac_dataset *d); // or NULL
size_t lorac_dataset_size(const struct lorac_dataset *d);                     // examples
size_t lorac_dataset_row(const struct lorac_dataset *d, size_t i);    // its row of the table
uint64_t lorac_dataset_line(const struct lorac_dataset *d, size_t i); // its line; document, from 1
size_t lorac_dataset_length(const struct lorac_dataset *d, size_t i); // tokens
size_t lorac_dataset_rows(const struct lorac_dataset *d, size_t i);   // of a batch, that it takes
size_t lorac_dataset_all_rows(const struct lorac_dataset *d);         // of all examples
const struct lorac_objective *lorac_dataset_objective(const struct lorac_dataset *d);
const struct lorac_target_frame *lorac_dataset_frame(const struct lorac_dataset *d); // or NULL
/* (K) how many used rows have each label as a target, or of tags how many words. */
const size_t *lorac_dataset_targets(const struct lorac_dataset *d);
/* Of the numbers of all used rows. */
void lorac_dataset_moments(double *mean, double *deviation, const struct lorac_dataset *d);
/* length[k] (n): the least that percent[k] of a hundred examples do not exceed. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_percentiles(size_t *length, const int *percent,
                                                             size_t n,
                                                             const struct lorac_dataset *d,
                                                             struct lorac_err *err);
bool lorac_dataset_is_cached(const struct lorac_dataset *d);
size_t lorac_dataset_memory(const struct lorac_dataset *d); // bytes that lengths and ids take
/* Example i < size into the buffer. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_example(struct lorac_example *e,
                                                         const struct lorac_dataset *d, size_t i,
                                                         struct lorac_err *err);
/* Its cells and, mapped, its values, without ids. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_values(struct lorac_example *e,
                                                        const struct lorac_dataset *d, size_t i,
                                                        struct lorac_err *err);
/* The prompt of example i alone, cut from its start (BOS stays) so that `room` more tokens fit
 * max_length; `values` are set. Where not one token of it would be left, LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_prompt(struct lorac_example *e,
                                                        const struct lorac_dataset *d, size_t i,
                                                        size_t room, struct lorac_err *err);
/* The index of a variable of the template. An unknown name is LORAC_EUSER with those that there
 * are. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_variable(size_t *out,
                                                          const struct lorac_dataset *d,
                                                          const char *name, struct lorac_err *err);
/* Rows (used or not) whose label entry k of the options' `labels` gave: 0 is worth a word to the
 * user. */
size_t lorac_dataset_label_count(const struct lorac_dataset *d, size_t k);
/* A number that differs, but for one chance in 2^64, where any example's ids or what is trained of
 * them do. */
uint64_t lorac_dataset_digest(const struct lorac_dataset *d);
/* Examples of `b` whose ids stand in `a` too: what leaks from training into validation. Ids are
 * compared by a 64-bit hash: of a million rows, one chance in 10^7 that one is counted wrongly. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_shared(size_t *out, const struct lorac_dataset *a,
                                                        const struct lorac_dataset *b,
                                                        struct lorac_err *err);

/* ---- shots --------------------------------------------------------------------------------------
 * Few-shot prompting: rows with their answers in front of every prompt, and no training. As ids:
 *
 *   BOS prompt completion separator  prompt completion separator ...    P tokens, once
 *                                                                   |
 *                                     prompt completion separator <-+   an example behind them
 *
 * Each part is tokenised on its own, exactly as without shots, so that no token straddles two. The
 * separator ends an answer here, in EOS's place (append_eos). A dataset with shots (its option)
 * gives batches whose examples go on from the P rows of cache sequence 0: whoever runs them has put
 * the prefix there. Its max_length counts an example without the prefix. */
struct lorac_shots_options {
    size_t n;                  // of them, at least 1
    const char *separator;     // at least one token, none of them special
    const char *const *labels; // (K) texts of the label variable to balance over, after mapping
    size_t K;                  // 0: rows are drawn whatever they answer
    uint64_t seed;
};
/* Draw rows of `d` (which has no shots) and tokenise them: in rounds over the labels, each label
 * once a round and each round in an order of its own, functions of the seed; a label that has no
 * more rows is passed over. Fewer shots are the beginning of more. Rows longer than max_length are
 * none. */
LORAC_MUST_CHECK enum lorac_status lorac_shots_open(struct lorac_shots **out,
                                                    const struct lorac_dataset *d,
                                                    const struct lorac_shots_options *o,
                                                    struct lorac_err *err);
void lorac_shots_close(struct lorac_shots *s);
/* How many of them take at most so many tokens together. */
size_t lorac_shots_fit(const struct lorac_shots *s, size_t tokens);
/* Drop all but the first n >= 1, before a dataset goes on from them. */
void lorac_shots_keep(struct lorac_shots *s, size_t n);
size_t lorac_shots_count(const struct lorac_shots *s);
size_t lorac_shots_row(const struct lorac_shots *s, size_t i); // of the table
const struct lorac_ids *lorac_shots_prefix(const struct lorac_shots *s);
const char *lorac_shots_separator(const struct lorac_shots *s);

/* ---- the loader ---------------------------------------------------------------------------------
 * Epoch e visits the examples in an order that is a function of (seed, "shuffle", e), or in their
 * own. A micro-batch takes examples in that order while they fit; it never spans two epochs. An
 * example longer than batch_tokens makes a batch of its own. Without a head the last token of an
 * example predicts nothing, so it is only a target: one of n tokens takes n - 1 rows, which is what
 * batch_tokens counts. Once buffers are warm nothing is allocated, except by the tokenizer where
 * ids are not kept (`cache`). What is hidden of an example, where the objective masks, is a
 * function of (seed, "mask", e), its index and a token's place: packing changes nothing. */
struct lorac_loader;
/* What examples of a micro-batch begin with alike may stand in it once, as segments that they
 * continue: the same loss and gradients but for rounding, where nothing is dropped at random. They
 * stand in the order of their tokens then. */
enum lorac_share {
    LORAC_SHARE_OFF,
    LORAC_SHARE_AUTO, // where that saves an eighth of their rows or more
    LORAC_SHARE_ON,   // however little
};
/* Do n examples run the P tokens that all begin with once? `rows`: theirs, each on its own. */
bool lorac_share_is_worth(enum lorac_share how, size_t n, size_t P, size_t rows);
struct lorac_loader_options {
    size_t batch_tokens; // rows of a micro-batch; 0: no limit
    size_t batch_size;   // examples of a micro-batch; 0: no limit. One of the two is needed.
    bool shuffle;
    uint64_t seed;
    const struct lorac_objective *objective; // how they are placed and weigh; NULL: the dataset's
    enum lorac_share share_prefix;
    bool dense; // batch_tokens counts what examples share once, so that more of them fit; how many
                // is known when they are read: not to be counted or skipped
    const float *label_weight; // (K) as of lorac_placing; outlives the loader
    double label_smoothing;
};
/* 512 tokens a micro-batch, shuffled: as a recipe that says nothing. */
struct lorac_loader_options lorac_loader_options_default(void);
/* All that is needed to go on where a run stopped. */
struct lorac_loader_state {
    uint64_t epoch;    // from 0
    uint64_t position; // examples of this epoch already given out; less than the dataset's size
};
/* The dataset must outlive the loader. */
LORAC_MUST_CHECK enum lorac_status lorac_loader_open(struct lorac_loader **out,
                                                     const struct lorac_dataset *d,
                                                     const struct lorac_loader_options *o,
                                                     struct lorac_err *err);
void lorac_loader_close(struct lorac_loader *l);
const struct lorac_dataset *lorac_loader_dataset(const struct lorac_loader *l);
const struct lorac_objective *lorac_loader_objective(const struct lorac_loader *l);
/* What a batch must hold for every micro-batch of every epoch. */
size_t lorac_loader_max_rows(const struct lorac_loader *l);
size_t lorac_loader_max_segments(const struct lorac_loader *l);
size_t lorac_loader_max_targets(const struct lorac_loader *l);
/* Rows that the examples of the last micro-batch are, each counted on its own. */
size_t lorac_loader_rows(const struct lorac_loader *l);
/* Micro-batches of an epoch, from lengths alone; what lorac_loader_next lent is no longer valid. */
size_t lorac_loader_count(struct lorac_loader *l, uint64_t epoch);
/* Of the first `epochs` epochs. LORAC_EUSER: more rows than can be put in order in some seconds. */
LORAC_MUST_CHECK enum lorac_status lorac_loader_total(size_t *out, struct lorac_loader *l,
                                                      size_t epochs, struct lorac_err *err);
struct lorac_loader_state lorac_loader_state(const struct lorac_loader *l);
/* Go to a saved state. One that the dataset cannot have is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_loader_seek(struct lorac_loader *l,
                                                     struct lorac_loader_state state,
                                                     struct lorac_err *err);
/* The next micro-batch into `b` (cleared first, capacity as above). *examples (*n) borrowed until
 * the next call: the indices of its examples in the dataset, in the order of their segments. After
 * the last one of an epoch the state is (epoch + 1, 0). */
LORAC_MUST_CHECK enum lorac_status lorac_loader_next(struct lorac_loader *l, struct lorac_batch *b,
                                                     const uint32_t **examples, size_t *n,
                                                     struct lorac_err *err);
/* The same, but of its examples only one of `parts` parts, with about as many rows each: somebody
 * else runs the others. The loader goes on behind all of them. A part may have none: n = b->N = 0.
 */
LORAC_MUST_CHECK enum lorac_status lorac_loader_next_part(struct lorac_loader *l,
                                                          struct lorac_batch *b, size_t part,
                                                          size_t parts, const uint32_t **examples,
                                                          size_t *n, struct lorac_err *err);
void lorac_loader_skip(struct lorac_loader *l); // all of it

/* ---- a tree of answers --------------------------------------------------------------------------
 * K answers as tokens, of which each shared beginning stands once. Nodes are in preorder: the
 * children of i are i + 1, then the `end` of each, as far as the end of i. Node 0 is what they
 * answer.
 *
 *   card_arrival  card_linking  age_limit     0 -+- 1 age -- 2 _ -- 3 limit
 *                                                +- 4 card - 5 _ -+- 6 arr - 7 ival
 *                                                                 +- 8 l --- 9 inking
 */
struct lorac_tree_node {
    int32_t id;             // its token
    uint32_t parent, depth; // depth: tokens from the beginning of an answer up to this one
    uint32_t end, children; // end: the node behind its last descendant
    uint32_t first, ends;   // order[first .. first + ends - 1] are the answers that end here
    uint32_t least;         // of the answers that end here or below, the one that was given first
    uint32_t nested;        // how many end, at the most, on one way from here down
};
struct lorac_tree {
    struct lorac_tree_node *at; // (n)
    size_t n, cap;
    uint32_t *order; // (K) the answers in the order in which they end
    uint32_t *last;  // (K) the node where each ends
    size_t K, cap_answers;
    size_t longest; // tokens
    size_t rows;    // nodes but 0 that have children: what a model reads to score all answers
};
/* Of K answers of one token or more each, one behind the other in `ids`; end[k] is where answer k
 * ends. Zeroed = empty; made again in place. Equal answers are kept apart. */
LORAC_MUST_CHECK enum lorac_status lorac_tree_make(struct lorac_tree *t, const int32_t *ids,
                                                   const size_t *end, size_t K,
                                                   struct lorac_err *err);
void lorac_tree_free(struct lorac_tree *t);

/* ---- choices ------------------------------------------------------------------------------------
 * A row's prompt and the K completions of it that labels make; EOS counts where append_eos. */
struct lorac_choices;
/* `labels` (K) are copied: texts of the label variable, after mapping. The dataset must outlive it.
 */
LORAC_MUST_CHECK enum lorac_status lorac_choices_open(struct lorac_choices **out,
                                                      const struct lorac_dataset *d,
                                                      const char *const *labels, size_t K,
                                                      struct lorac_err *err);
void lorac_choices_close(struct lorac_choices *c);
/* By how many tokens the longest completion exceeds the shortest; 0 where rows differ. */
size_t lorac_choices_spread(const struct lorac_choices *c);

struct lorac_choice {
    struct lorac_ids prompt;       // cut so that the longest completion fits max_length
    struct lorac_example example;  // the row as a dataset has it
    const struct lorac_tree *tree; // its completions: those of all rows, or `own`
    struct lorac_tree own;
    size_t label; // of the row; K: none of them
    bool whole;   // the example is the prompt and the label's completion, not another cut
};
void lorac_choice_free(struct lorac_choice *x); // zeroed = empty
/* Example i; *x is written in place. */
LORAC_MUST_CHECK enum lorac_status lorac_choices_read(struct lorac_choice *x,
                                                      struct lorac_choices *c, size_t i,
                                                      struct lorac_err *err);

LORAC_API_END

#endif
