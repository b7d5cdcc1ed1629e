/*
 * impl.h - what the files of the template language share.
 *
 *   lex.c      text -> tokens, white space cut as the environment says
 *   parse.c    tokens -> nodes: statements;  expr.c: expressions
 *   eval.c     nodes -> values;  operate.c: arithmetic;  render.c: statements, scopes, macros
 *   value.c    values, compared;  print.c: as Python prints them;  json.c: from and to JSON
 *   filters.c, tests.c, methods.c, globals.c    tables of what has a name
 *
 * Rendering fails once: lorac_jinja_fail() records the first failure in the run, everything later
 * does nothing, and loops look at `st`. Values live in the run's arena, which is gone at its end.
 */
#ifndef LORAC_BASE_JINJA_IMPL_H
#define LORAC_BASE_JINJA_IMPL_H

#include "base/core/arena.h"
#include "base/jinja/jinja.h"

enum {
    JINJA_MAX_DEPTH = 100,       // of brackets and statements within each other
    JINJA_MAX_CALLS = 1000,      // of a run: nodes, macros, values within each other
    JINJA_MAX_MEMBERS = 10000,   // of a dict
    JINJA_MAX_STEPS = 20000000,  // nodes evaluated
    JINJA_MAX_RANGE = 100000,    // as the sandbox
    JINJA_MAX_MEMORY = 256 << 20 // bytes of all values of a run
};

/* ---- values ---- */

struct lorac_jstr {
    const char *at;   // UTF-8, n bytes
    const char *mark; // of each byte; NULL: all 0
    size_t n;
};

enum lorac_jkind {
    J_UNDEFINED, // s: the name that was not there
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STRING,
    J_LIST,
    J_DICT,
    J_NAMESPACE, // a dict whose members can be set
    J_LOOP,
    J_MACRO,
    J_FUNCTION, // a global, or a method of `self`
};

struct lorac_jvalue {
    enum lorac_jkind kind;
    union {
        bool b;
        int64_t i;
        double f;
        struct lorac_jstr s;
        struct lorac_jlist *list;
        struct lorac_jdict *dict;
        struct lorac_jloop *loop;
        struct lorac_jmacro *macro;
        struct lorac_jbound *bound;
    };
};

/* What Python would have made: a list, a tuple, what yields its items once, a view of a dict, a
 * range. */
enum lorac_jform { JF_LIST, JF_TUPLE, JF_GENERATOR, JF_VIEW, JF_RANGE };
struct lorac_jlist {
    struct lorac_jvalue *at;
    size_t n, cap;
    enum lorac_jform form;
    bool spent; // a generator that was read
};
struct lorac_jpair {
    struct lorac_jvalue key, value;
};
struct lorac_jdict { // in the order of insertion
    struct lorac_jpair *at;
    size_t n, cap;
};
struct lorac_jloop {
    const struct lorac_jlist *items;
    size_t at;
};
struct lorac_jscope;
struct lorac_jmacro {
    const struct lorac_jnode *node; // a macro, or a call block
    struct lorac_jscope *scope;     // where it was written
};
/* Arguments of a call. */
struct lorac_jargs {
    struct lorac_jvalue *at;       // first those without a name
    const struct lorac_jstr *name; // of the others
    size_t n, n_named;
};
struct lorac_jrun;
/* A function, filter or method. `params`: its parameters' names, "a,b,c"; arguments are put in that
 * order, undefined where absent. NULL: it takes `args` as they were given. */
typedef struct lorac_jvalue lorac_jfn(struct lorac_jrun *r, struct lorac_jvalue self,
                                      const struct lorac_jargs *args);
/* One of them, whatever it uses of r, v and args; and one that is an expression of these. */
#define JFN(name)                                                     \
    static struct lorac_jvalue name(JFN_UNUSED struct lorac_jrun *r,  \
                                    JFN_UNUSED struct lorac_jvalue v, \
                                    JFN_UNUSED const struct lorac_jargs *args)
#define JFN_IS(name, ...)   \
    JFN(name)               \
    {                       \
        return __VA_ARGS__; \
    }
#define JFN_UNUSED __attribute__((unused))
struct lorac_jrow {
    const char *name;
    lorac_jfn *fn;
    const char *params;
    size_t required;
};
struct lorac_jbound {
    const struct lorac_jrow *row;
    struct lorac_jvalue self;
};

/* ---- nodes ---- */

enum lorac_jop {
    N_CONST, // value
    N_NAME,  // text
    N_LIST,  // items: child[0], linked by next
    N_TUPLE,
    N_DICT,   // items: key, value, key, value, ...
    N_ATTR,   // child[0] . text
    N_ITEM,   // child[0] [child[1]]
    N_SLICE,  // child[0] [child[1] : child[2] : child[3]]; NULL where left out
    N_CALL,   // child[0] ( child[1] ... ); named arguments are N_NAMED
    N_NAMED,  // text = child[0]
    N_SPREAD, // *child[0]: its items as arguments
    N_FILTER, // child[0] | text ( child[1] ... )
    N_TEST,   // child[0] is text ( child[1] ... ); negated where `flag`
    N_NOT,
    N_NEGATE,
    N_PLUS, // unary
    N_AND,
    N_OR,
    N_COMPARE, // child[0], then links of N_COMPARE_LINK
    N_LINK,    // one comparison: `sub` and child[0]
    N_ADD,
    N_SUB,
    N_MUL,
    N_DIV,
    N_FLOORDIV,
    N_MOD,
    N_POW,
    N_CONCAT,
    N_IF_ELSE, // child[0] if child[1] else child[2]

    N_TEXT,         // value: text between tags
    N_PRINT,        // child[0]
    N_FOR,          // for child[0] in child[1] if child[2]: body, orelse
    N_IF,           // if child[0]: body, orelse
    N_SET,          // child[0] = child[1]
    N_SET_BLOCK,    // child[0] = body, through the filters of child[1]
    N_MACRO,        // text(child[0] ...): body; a parameter is N_NAMED, child[0] its default
    N_CALL_BLOCK,   // call (child[0] ...) child[1]: body
    N_FILTER_BLOCK, // body through child[0], whose innermost input is N_INPUT
    N_INPUT,
    N_GENERATION, // body
    N_BREAK,
    N_CONTINUE,
};
enum lorac_jcompare { C_EQ, C_NE, C_LT, C_LE, C_GT, C_GE, C_IN, C_NOT_IN };

struct lorac_jnode {
    enum lorac_jop op;
    enum lorac_jcompare sub;
    bool flag;
    int line, column;
    struct lorac_jstr text;
    struct lorac_jvalue value;
    struct lorac_jnode *child[4];
    struct lorac_jnode *next; // in a list of statements, items, arguments
    struct lorac_jnode *body, *orelse;
};

/* ---- tokens ---- */

enum lorac_jtok {
    T_END,
    T_DATA,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_PRINT_BEGIN,
    T_PRINT_END,
    T_NAME,
    T_STRING, // text: its value
    T_INT,
    T_FLOAT,
    T_OPERATOR, // text
};
struct lorac_jtoken {
    enum lorac_jtok kind;
    struct lorac_jstr text;
    struct lorac_jvalue value; // of a number
    int line, column;
};

struct lorac_jinja {
    struct lorac_arena *arena; // tokens, nodes, their texts
    char *name;
    struct lorac_jnode *body;
    bool generates;
};

struct lorac_jparser {
    struct lorac_jinja *t;
    struct lorac_jtoken *at; // the token that comes next
    int depth, loops;        // nested
    struct lorac_err *err;
    enum lorac_status st;
};

/* Tokens of the text, ended by T_END. */
LORAC_MUST_CHECK enum lorac_status lorac_jinja_lex(struct lorac_jtoken **out, struct lorac_jinja *t,
                                                   const char *text, size_t n,
                                                   struct lorac_err *err);
/* The first failure counts. Returns NULL. */
struct lorac_jnode *lorac_jparse_fail(struct lorac_jparser *p, enum lorac_status code,
                                      const char *fmt, ...) LORAC_PRINTF(3, 4);
struct lorac_jnode *lorac_jparse_node(struct lorac_jparser *p, enum lorac_jop op);
bool lorac_jparse_enter(struct lorac_jparser *p); // one level deeper; false: too deep, it failed
bool lorac_jparse_is(const struct lorac_jparser *p, const char *word); // a name or an operator
bool lorac_jparse_skip(struct lorac_jparser *p, const char *word);
void lorac_jparse_expect(struct lorac_jparser *p, const char *word);
struct lorac_jnode *lorac_jparse_expr(struct lorac_jparser *p); // with `if ... else`
struct lorac_jnode *lorac_jparse_or(struct lorac_jparser *p);   // without
/* a, b, c: a tuple where there is a comma; targets: of a `for` or `set`. */
struct lorac_jnode *lorac_jparse_tuple(struct lorac_jparser *p, bool targets);
struct lorac_jnode *lorac_jparse_args(struct lorac_jparser *p); // behind "(", takes ")"
/* filter | filter ..., on `input`. */
struct lorac_jnode *lorac_jparse_filters(struct lorac_jparser *p, struct lorac_jnode *input);

/* ---- a run ---- */

struct lorac_jtext { // grows in the arena
    char *at, *mark;
    size_t n, cap;
};
struct lorac_jrun {
    const struct lorac_jinja *t;
    struct lorac_arena *arena;
    size_t bytes, steps;
    int depth;
    int64_t now;
    const struct lorac_jnode *at; // where it is, for messages
    struct lorac_jtext *out;      // what statements print into
    char generated;               // LORAC_JINJA_GENERATED within such a block
    struct lorac_jscope *scope;
    struct lorac_jvalue input; // of a filter block
    enum lorac_status st;
    struct lorac_err *err;
};

/* The first failure counts. Returns an undefined value. */
struct lorac_jvalue lorac_jinja_fail(struct lorac_jrun *r, enum lorac_status code, const char *fmt,
                                     ...) LORAC_PRINTF(3, 4);
void *lorac_jinja_take(struct lorac_jrun *r, size_t n, size_t size); // NULL: it failed
/* One level deeper; false: too deep, it failed. */
bool lorac_jinja_enter(struct lorac_jrun *r);
void lorac_jinja_leave(struct lorac_jrun *r);

struct lorac_jvalue lorac_jinja_eval(struct lorac_jrun *r, const struct lorac_jnode *n);
struct lorac_jvalue lorac_jinja_call(struct lorac_jrun *r, struct lorac_jvalue f,
                                     const struct lorac_jargs *args);
/* Call a row; `kind` and its name stand in messages. */
struct lorac_jvalue lorac_jinja_apply(struct lorac_jrun *r, const struct lorac_jrow *row,
                                      const char *kind, struct lorac_jvalue self,
                                      const struct lorac_jargs *args);
struct lorac_jvalue lorac_jinja_macro(struct lorac_jrun *r, struct lorac_jvalue macro,
                                      const struct lorac_jargs *args);
/* a op b, of N_ADD ... N_POW. */
struct lorac_jvalue lorac_jinja_operate(struct lorac_jrun *r, enum lorac_jop op,
                                        struct lorac_jvalue a, struct lorac_jvalue b);
/* "'x' is undefined" */
struct lorac_jvalue lorac_jinja_undefined(struct lorac_jrun *r, struct lorac_jvalue v);
struct lorac_jvalue lorac_jinja_attr(struct lorac_jrun *r, struct lorac_jvalue v,
                                     struct lorac_jstr name);
struct lorac_jvalue lorac_jinja_item(struct lorac_jrun *r, struct lorac_jvalue v,
                                     struct lorac_jvalue key);
/* What statements end with. */
enum lorac_jflow { F_ON, F_BREAK, F_CONTINUE };
enum lorac_jflow lorac_jinja_statements(struct lorac_jrun *r, const struct lorac_jnode *first);
struct lorac_jvalue lorac_jinja_lookup(struct lorac_jrun *r, struct lorac_jstr name);

/* Tables; NULL: no such name. */
const struct lorac_jrow *lorac_jinja_row(const struct lorac_jrow *rows, struct lorac_jstr name);
extern const struct lorac_jrow lorac_jinja_filters[], lorac_jinja_tests[], lorac_jinja_globals[],
    lorac_jinja_string_methods[], lorac_jinja_list_methods[], lorac_jinja_dict_methods[],
    lorac_jinja_loop_methods[];

/* ---- value.c ---- */

struct lorac_jstr lorac_jstr(const char *s);
bool lorac_jstr_is(struct lorac_jstr s, const char *word);
bool lorac_jstr_same(struct lorac_jstr a, struct lorac_jstr b);
struct lorac_jstr lorac_jstr_cut(struct lorac_jstr s, size_t from, size_t to);
size_t lorac_jstr_length(struct lorac_jstr s); // code points
/* The code point at byte i, and its bytes. */
uint32_t lorac_jstr_at(struct lorac_jstr s, size_t i, size_t *bytes);
/* Where `what` is first, from byte `from` on; SIZE_MAX: nowhere. */
size_t lorac_jstr_find(struct lorac_jstr s, struct lorac_jstr what, size_t from);
/* Without what is in `set` at its sides (NULL: white space). */
struct lorac_jstr lorac_jstr_strip(struct lorac_jstr s, const struct lorac_jstr *set, bool left,
                                   bool right);

struct lorac_jvalue lorac_jundefined(struct lorac_jstr name);
struct lorac_jvalue lorac_jnone(void);
struct lorac_jvalue lorac_jbool(bool b);
struct lorac_jvalue lorac_jint(int64_t i);
struct lorac_jvalue lorac_jfloat(double f);
struct lorac_jvalue lorac_jstring(struct lorac_jstr s);
struct lorac_jvalue lorac_jlist(struct lorac_jrun *r, enum lorac_jform form);
void lorac_jlist_add(struct lorac_jrun *r, struct lorac_jvalue list, struct lorac_jvalue item);
struct lorac_jvalue lorac_jdict(struct lorac_jrun *r, enum lorac_jkind kind);
void lorac_jdict_set(struct lorac_jrun *r, struct lorac_jvalue dict, struct lorac_jvalue key,
                     struct lorac_jvalue value);
const struct lorac_jvalue *lorac_jdict_find(struct lorac_jvalue dict, struct lorac_jvalue key);

void lorac_jtext_add(struct lorac_jrun *r, struct lorac_jtext *t, struct lorac_jstr s);
void lorac_jtext_char(struct lorac_jrun *r, struct lorac_jtext *t, uint32_t cp, char mark);
struct lorac_jvalue lorac_jtext_value(const struct lorac_jtext *t);

const char *lorac_jkind_name(struct lorac_jvalue v); // as Python calls it
bool lorac_jtruth(struct lorac_jvalue v);
bool lorac_jsame(struct lorac_jrun *r, struct lorac_jvalue a, struct lorac_jvalue b); // ==
/* < 0, 0, > 0; fails where the two have no order. */
int lorac_jorder(struct lorac_jrun *r, struct lorac_jvalue a, struct lorac_jvalue b);
bool lorac_jin(struct lorac_jrun *r, struct lorac_jvalue item, struct lorac_jvalue in);
/* str(v) */
struct lorac_jstr lorac_jprint(struct lorac_jrun *r, struct lorac_jvalue v);
/* The items that a loop over v would see, read (a generator is spent); fails where there are none
 * such. */
struct lorac_jlist *lorac_jitems(struct lorac_jrun *r, struct lorac_jvalue v);

/* In the order of `key(item)`, ascending or, backwards, descending; equal ones as they were. */
typedef struct lorac_jvalue lorac_jkey(struct lorac_jrun *r, struct lorac_jvalue item, void *self);
void lorac_jsort(struct lorac_jrun *r, struct lorac_jlist *list, bool backwards, lorac_jkey *key,
                 void *self);
void lorac_jturn(struct lorac_jlist *list); // the last item first

/* ---- json.c ---- */

struct lorac_jvalue lorac_jfrom_json(struct lorac_jrun *r, const json_t *j, bool input);
/* json.dumps(v, ensure_ascii, indent, separators, sort_keys) */
struct lorac_jdumps {
    bool ascii, sorted;
    int indent;                  // < 0: none
    struct lorac_jstr item, key; // separators
};
void lorac_jto_json(struct lorac_jrun *r, struct lorac_jtext *to, struct lorac_jvalue v,
                    const struct lorac_jdumps *o, int level);
/* A float as Python prints it. */
size_t lorac_jfloat_print(char to[40], double f);

#endif
