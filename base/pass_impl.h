/*
 * pass_impl.h - what the files of a pass share; see model.h for the contract, program.h for the
 * idea.
 *
 *   layout.c   where slots and their gradients lie, and how gradients flow: worked out once from a
 *              program
 *   ops.c      the operations, forward and backward side by side
 *   pass.c     memory, and the walk over a model's steps, up and down
 *   pass_check.c  what a batch asks of both
 *   rows.c     operations that go to other rows, and their lists
 *   frozen.c   the layers that no adapter reaches, apart from the others
 *   profile.c  where their time goes
 */
#ifndef LORAC_BASE_PASS_IMPL_H
#define LORAC_BASE_PASS_IMPL_H

#include "base/arch/arch.h"
#include "base/core/place.h"
#include "base/model.h"

/* How a step's input comes to its gradient, going down. */
enum lorac_flow {
    FLOW_NONE,  // it has none, or it is the output itself, changed in place
    FLOW_WRITE, // this step gives the first share
    FLOW_ADD,   // one more share
    FLOW_SHARE, // the first share is the output's gradient as it is: both have one buffer
};

/* Buffers that several slots use one after the other. */
struct lorac_buffers {
    size_t width[LORAC_SLOTS]; // floats a row
    size_t n;
};

enum lorac_layout_keep {
    KEEP_NONE,    // no way down follows
    KEEP_EXACT,   // what it reads, as it is
    KEEP_ROUNDED, // what of that products round anyway, as bfloat16
};

struct lorac_layout {
    const struct lorac_steps *steps;
    uint32_t outer;   // bit s: slot s is placed by the caller (a layer's X and Y)
    uint32_t kept;    // bit s: the backward pass reads slot s, which lies in memory of its own,
    uint32_t rounded; // ... as bfloat16: as float32 it is in a buffer while it is in use
    uint32_t remade;  // bit s: it reads slot s, which is made again when it gets there
    uint32_t over;    // bit s: the gradient of slot s takes the slot's own place
    size_t cut;       // behind the steps before it, rows that nobody asks for may be left out
    uint32_t across;  // bit s: slot s is made before it, and a row reads its own of it behind it
    uint8_t up[LORAC_STEPS_MAX];      // where in the program the steps stand, in the order of the
                                      // way up: a step is named by its place in that
    uint8_t down[LORAC_STEPS_MAX];    // the steps in the order of the way down
    uint8_t maker[LORAC_SLOTS];       // the step that writes it first
    uint32_t rounds[LORAC_STEPS_MAX]; // the slots that are rounded behind a step, the last to write
    uint8_t buffer[LORAC_SLOTS];      // where it lies as float32, unless outer or kept so
    uint8_t grad[LORAC_SLOTS];        // where its gradient lies, unless over
    enum lorac_flow flow[LORAC_STEPS_MAX][LORAC_STEP_INS];
    struct lorac_buffers buffers, grads;
};
/* `last` is the slot whose gradient is there when the way down begins: in gradient buffer 0, or
 * (top) in its own place. */
static inline const struct lorac_step *lorac_layout_step(const struct lorac_layout *t, size_t i)
{
    return &t->steps->at[t->up[i]];
}
void lorac_layout_make(struct lorac_layout *t, const struct lorac_config *c,
                       const struct lorac_steps *steps, uint32_t outer, enum lorac_slot last,
                       bool top, enum lorac_layout_keep keep);

/* Front, layer or head, with its memory. */
struct lorac_section {
    struct lorac_layout layout;
    float *buffer[LORAC_SLOTS], *grad[LORAC_SLOTS];
    void *kept[LORAC_SLOTS]; // of front and head; each layer has its own
};

struct lorac_pass {
    const struct lorac_model *m;
    struct lorac_device *dev;
    struct lorac_socket socket; // self NULL and adapts NULL: the bare base
    bool has_socket;
    struct lorac_pass_options o;
    struct lorac_profile *profile; // or NULL

    struct lorac_section front, layer, head;
    size_t many;                // rows of large batches so far: until the weights are prepared
    size_t frozen;              // layers below the lowest module that is adapted
    size_t n_sets;              // of what a layer keeps: one for each of the others, or 1
    void *(*kept)[LORAC_SLOTS]; // (n_sets)
    float **x;                  // (L+1) the residual stream at each layer's input; x[L] is the end.
                                // Two buffers take turns where no backward comes
    size_t head_rows;           // rows of logits at a time
    float *head_x;              // (head_rows,C) those of x[L] that score, where it has others, too
    bool scored;             // x[L] has the rows that score alone: the last layer went on with them
    float *few[LORAC_SLOTS]; // (rows that score,width) of its slots `across`
    uint32_t *
        third; // (3, n_third) host: rows k, k + 3, k + 6, ... of a matrix of q, k and v; NULL: none
    uint32_t *half;      // (2, max_rows) the same of gate and up
    uint32_t *text_of;   // (max_rows) host: scratch of pooling; NULL: none
    int32_t *shifted;    // (rows) host: positions as rows of their matrix; NULL: as they are
    uint32_t *position;  // (max_rows) host: of the rows that score
    enum lorac_slot top; // the head's output
    float *rope[2];      // (positions,D) of layers that are full, of those that slide
    float *gain, *plus;  // (widest norm) 1 + a norm's gain, and ones; NULL where norms have no 1
    uint32_t *needs;     // (L+2) of front, layers, head: see struct lorac_walk
    float **saved;       // (n_modules) what the socket keeps of each; NULL: nothing
    float *scratch;      // of the socket, one call at a time; NULL: none, or an evaluation

    void *block, *saved_block; // device memory
    size_t bytes, saved_bytes;
};

/* Give `place` (already run to measure) memory of the device. */
LORAC_MUST_CHECK enum lorac_status lorac_block_take(void **block, size_t *bytes,
                                                    struct lorac_place *place,
                                                    struct lorac_device *dev,
                                                    struct lorac_err *err);

/* Does the head read all rows of a text, not one? */
bool lorac_model_pools(const struct lorac_model *m);
/* The lists of rows that its operations take; false: no memory. */
LORAC_MUST_CHECK bool lorac_pass_list_rows(struct lorac_pass *p);
/* Is a backward to follow? Else it is an evaluation. */
static inline bool lorac_pass_trains(const struct lorac_pass *p)
{
    return p->o.keep != LORAC_KEEP_NOTHING;
}

struct lorac_cache {
    const struct lorac_model *m;
    size_t rows;
    float *block;   // device memory
    float **k, **v; // (L) each (rows,G,D)
};

/* One way up or down some steps. */
struct lorac_walk {
    struct lorac_pass *p;
    const struct lorac_layout *t;
    const uint32_t *module;      // (steps) in the order of the program
    float *x[LORAC_SLOTS];       // the slots, (N,width) each
    uint16_t *half[LORAC_SLOTS]; // those that are kept rounded, and where; else NULL
    float *dx[LORAC_SLOTS];      // their gradients
    uint32_t needs;              // bit s: something at or below slot s trains
    uint32_t made;               // bit s: slot s of those that have a buffer holds its values
    bool scored;                 // from step t->cut on with the rows that score alone, ...
    bool narrow;                 // ... which are the N rows now; and
    float *whole[LORAC_SLOTS];   // where slots `across` have all
    size_t N, layer;
    size_t first; // step of front, layer and head, counted as one list
    size_t row;   // of the first of the N rows among all that are seen; 0 but in the head
    bool head;    // its rows are those that score, too
    const struct lorac_batch *batch;
    struct lorac_cache *cache; // or NULL
};

struct lorac_operation {
    const char *name;
    void (*forward)(struct lorac_walk *w, size_t i);
    void (*backward)(struct lorac_walk *w, size_t i);
    unsigned reads;  // what of its slots the backward reads: READS_*
    unsigned rough;  // which of those may have been rounded to bfloat16
    bool cheap;      // the output is made again from the inputs rather than kept
    bool adds;       // the backward can add to an input's gradient, not only write it
    bool over;       // the backward may put an input's gradient where the input is
    unsigned others; // READS_*: inputs of which it reads other rows than its own
};
enum { READS_IN0 = 1, READS_INS = 7, READS_OUT0 = 8, READS_OUT1 = 16 };
extern const struct lorac_operation lorac_operations[LORAC_OPS];

static inline const struct lorac_step *lorac_step_of(const struct lorac_walk *w, size_t i)
{
    return lorac_layout_step(w->t, i);
}
static inline uint32_t lorac_module_of(const struct lorac_walk *w, size_t i)
{
    return w->module[w->t->up[i]];
}
/* The gradient of input k of step i, or NULL where nobody needs it. */
float *lorac_walk_gradient(const struct lorac_walk *w, size_t i, size_t k);
/* dx (n) of the first input becomes dy, or has it added, as the flow says; NULL: nothing. */
void lorac_walk_hand_down(struct lorac_walk *w, size_t i, float *dx, const float *dy, size_t n);
void lorac_split(struct lorac_walk *w, size_t i); // of rows.c
void lorac_split_backward(struct lorac_walk *w, size_t i);
void lorac_pool(struct lorac_walk *w, size_t i);
void lorac_pool_backward(struct lorac_walk *w, size_t i);

/* Slot s, which shares its buffer, holds its values. */
void lorac_walk_made(struct lorac_walk *w, enum lorac_slot s);
void lorac_walk_up(struct lorac_walk *w);
void lorac_walk_down(struct lorac_walk *w);
/* Layers from .. to - 1, and in front of layer 0 the front. */
void lorac_pass_up(struct lorac_pass *p, const struct lorac_batch *batch, struct lorac_cache *cache,
                   size_t from, size_t to);
/* Does the pass, and the cache, have room for the batch, and the model what it names? */
LORAC_MUST_CHECK enum lorac_status lorac_pass_check(const struct lorac_pass *p,
                                                    const struct lorac_batch *batch,
                                                    const struct lorac_cache *cache,
                                                    struct lorac_err *err);

#endif
