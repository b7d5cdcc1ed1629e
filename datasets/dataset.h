/* dataset.h - inside datasets/: a dataset, and how one row of a table becomes an example. */
#ifndef LORAC_DATASETS_DATASET_H
#define LORAC_DATASETS_DATASET_H

#include "base/core/file.h"
#include "datasets/datasets.h"

/* What one used row is known by: all that is kept of it, unless its ids are. */
struct lorac_entry {
    uint64_t hash; // of its ids and of where training begins
    uint32_t row;  // of the table; document of the texts
    uint32_t tokens;
};

/* Where the ids of an entry that keeps them lie. */
struct lorac_kept {
    size_t begin;
    size_t gaps;   // of the kept gaps' numbers: where its own begin
    size_t labels; // the same of the kept labels
    double number;
    uint32_t trained_from;
};

/* A label of a head, and which of its outputs it is. */
struct lorac_label_class {
    char *name;
    size_t n;
    int32_t k;
};

/* labels.map, sorted by value. */
struct lorac_mapping {
    char *value, *label;
    size_t n_value, n_label;
    size_t entry; // its index in the options
    size_t count; // rows that held the value
};

struct lorac_dataset {
    const struct lorac_table *table;         // borrowed; NULL: made of texts
    char *file;                              // its first file, for messages
    const struct lorac_tokenizer *tokenizer; // borrowed
    struct lorac_template *template;         // of a chat NULL: `talk` has it
    struct lorac_conversations *talk;        // NULL: no chat
    struct lorac_passages *passages;         // with a head; NULL: none
    const struct lorac_objective *objective;
    const struct lorac_target_frame *frame; // borrowed
    struct lorac_label_class *classes;      // (K) sorted by name
    size_t K;
    size_t *targets;                // (K) of the used rows
    char *separator;                // NULL: none
    double mean, squares;           // of the used rows' numbers; of their distances from it, summed
    size_t tools;                   // of a chat the column that must be blank, or SIZE_MAX
    struct lorac_dataset_options o; // the plain values only: its pointers are the caller's
    char **names;                   // (n_variables)
    size_t *columns;                // (n_variables)
    size_t n_variables;
    size_t label_variable;        // index, or n_variables for none
    struct lorac_mapping *labels; // (n_labels)
    size_t n_labels;
    const struct lorac_shots *shots; // borrowed: what every example goes on from, or NULL
    size_t n_begin;                  // tokens that the tokenizer puts in front: BOS or nothing
    struct lorac_entry *entries;     // (n)
    size_t n, cap;                   // cap: what there is room for
    struct lorac_data_counts counts;
    bool cached;
    struct lorac_ids cache;        // the ids of all entries, one behind the other
    struct lorac_ids cache_types;  // theirs, of pairs
    struct lorac_ids cache_labels; // of all entries
    struct lorac_kept *kept;       // (n) if cached
    size_t cap_kept;
    struct lorac_gaps gaps; // of all entries, one behind the other
};

/* ---- texts ---- */

struct lorac_document {
    size_t file, begin, n; // bytes of a file
    size_t number;         // of the document, or of the one that it was cut from
    bool held_out;
    bool ends; // its end is the document's end
};
struct lorac_text_file {
    char *path;           // owned
    struct lorac_map map; // owned
};
struct lorac_texts {
    struct lorac_text_file *files; // (n_files)
    size_t n_files;
    struct lorac_document *at; // (n)
    size_t n, cap;
    size_t n_documents, blank, separators;
};

/* ---- shots ---- */

struct lorac_shots {
    char *separator;
    struct lorac_ids prefix; // all shots, each with the separator's tokens behind it
    struct lorac_ids end;    // the separator's tokens
    size_t *row;             // (n) of the table
    size_t *tokens;          // (n) of the prefix up to the end of each
    size_t n;
};

/* Is a variable's cell read? */
bool lorac_dataset_uses(const struct lorac_dataset *d, size_t variable);
enum lorac_status lorac_dataset_no_memory(const struct lorac_dataset *d, struct lorac_err *err);
/* The ids of the entry that is next begin there in the cache. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_keep(struct lorac_dataset *d, size_t begin,
                                                      const struct lorac_example *e,
                                                      struct lorac_err *err);
/* Look at all rows, or at those of the options: entries, counts, ids. */
LORAC_MUST_CHECK enum lorac_status lorac_dataset_pass(struct lorac_dataset *d,
                                                      struct lorac_err *err);

/* What became of a row. */
enum lorac_verdict {
    LORAC_ROW_GOOD,
    LORAC_ROW_EMPTY,
    LORAC_ROW_WRONG, // `why` says it
    LORAC_ROW_UNKNOWN_LABEL,
    LORAC_ROW_UNTRAINED,
    LORAC_ROW_PROMPTLESS, // its prompt has no token: no answer could follow it
    LORAC_ROW_LONG,
    LORAC_N_VERDICTS
};

struct lorac_made {
    enum lorac_verdict verdict;
    size_t variable;   // that is blank or holds the unknown label
    size_t mapping;    // entry of d->labels that the row uses, or n_labels
    bool kept_empty;   // a blank cell was kept
    size_t cut;        // tokens that the prompt lost
    size_t completion; // tokens of the completion, EOS included
    char why[200];     // of what no other word says; ""
};

/* Row `row` of the table as an example. Where the verdict is not GOOD, e->ids is not to be used. */
LORAC_MUST_CHECK enum lorac_status lorac_example_make(struct lorac_made *made,
                                                      struct lorac_example *e,
                                                      const struct lorac_dataset *d, size_t row,
                                                      struct lorac_err *err);
/* Only read, check and map the cells: e->row and e->values. */
LORAC_MUST_CHECK enum lorac_status lorac_example_read(struct lorac_made *made,
                                                      struct lorac_example *e,
                                                      const struct lorac_dataset *d, size_t row,
                                                      struct lorac_err *err);
/* Append the prompt's ids: at the very beginning (BOS) or behind shots. *encoder: NULL at first,
 * the caller's (lorac_encoder_free), as below. */
LORAC_MUST_CHECK enum lorac_status lorac_prompt_encode_at(struct lorac_ids *ids,
                                                          struct lorac_encoder **encoder,
                                                          const struct lorac_dataset *d,
                                                          const struct lorac_cell *values,
                                                          bool begins, struct lorac_err *err);
/* Append the completion's ids and what ends an answer of this dataset: EOS, behind shots their
 * separator. */
LORAC_MUST_CHECK enum lorac_status lorac_answer_encode(struct lorac_ids *ids,
                                                       struct lorac_encoder **encoder,
                                                       const struct lorac_dataset *d,
                                                       const struct lorac_cell *values,
                                                       struct lorac_err *err);
/* Add an example's rows to the batch: on their own, or going on from the shots, the first
 * rows of the cache. */
int32_t lorac_dataset_place(struct lorac_batch *b, const struct lorac_dataset *d,
                            const int32_t *ids, size_t n);
/* The same for a conversation whose values are read. */
LORAC_MUST_CHECK enum lorac_status lorac_conversation_make(struct lorac_made *made,
                                                           struct lorac_example *e,
                                                           const struct lorac_dataset *d,
                                                           struct lorac_err *err);
/* The same for what a head reads, and its target. */
LORAC_MUST_CHECK enum lorac_status lorac_passage_example(struct lorac_made *made,
                                                         struct lorac_example *e,
                                                         const struct lorac_dataset *d,
                                                         struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_gaps_add(struct lorac_gaps *g, const uint32_t *at,
                                                  size_t n, struct lorac_err *err);
/* The entry of labels.map with this value; NULL: none. */
struct lorac_mapping *lorac_label_map(const struct lorac_dataset *d, const struct lorac_cell *cell);
/* d->classes of the options. */
LORAC_MUST_CHECK enum lorac_status lorac_targets_open(struct lorac_dataset *d,
                                                      struct lorac_err *err);
void lorac_targets_close(struct lorac_dataset *d);
/* Count the targets of an example that is used. */
void lorac_targets_count(struct lorac_dataset *d, const struct lorac_example *e);
/* Its target, but for tags, whose words are not known yet: labels and number, or a verdict. */
LORAC_MUST_CHECK enum lorac_status lorac_target_read(struct lorac_made *made,
                                                     struct lorac_example *e,
                                                     const struct lorac_dataset *d,
                                                     struct lorac_err *err);
/* How many rows score, of the batch that the example is in. */
size_t lorac_example_trained(const struct lorac_example *e, const struct lorac_dataset *d);
/* Which pass over the examples it is: its draws. */
struct lorac_masking {
    uint64_t key, epoch;
};
/* Hide tokens of example i, the share of the dataset's options and one at least: e->labels holds
 * what they were, and LORAC_NO_LABEL for the others. */
LORAC_MUST_CHECK enum lorac_status lorac_example_mask(struct lorac_example *e,
                                                      const struct lorac_dataset *d, size_t i,
                                                      const struct lorac_masking *m,
                                                      struct lorac_err *err);
/* How many of these tokens may be hidden: those that are not special. */
size_t lorac_maskable(const struct lorac_dataset *d, const int32_t *ids, size_t n);
/* And how many targets at each, with this smoothing; the most of all examples. */
size_t lorac_targets_a_row(const struct lorac_dataset *d, double label_smoothing);
uint64_t lorac_example_hash(const struct lorac_example *e);

#endif
