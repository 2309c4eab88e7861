/*
 * Parses one text with libpg_query and hands back the protobuf form of its tree.
 *
 * Why not pg_query_parse_protobuf(): that function points file descriptor 2 of the whole process at a pipe while it parses, so two
 * threads that parse at once can leave standard error closed, and log lines written meanwhile are lost. This does the same work
 * without touching any file descriptor, and keeps warnings about the text out of the log.
 *
 * The declarations repeat those of libpg_query as pg_query 18.1 ships it (PostgreSQL 18, elog.h, palloc.h, parser.h); a test parses
 * good and bad texts through this file, so a change of them is seen.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct MemoryContextData *MemoryContext;
struct ErrorContextCallback;

/* The head of PostgreSQL's ErrorData, as far as it is read here. */
typedef struct {
	int elevel;
	bool output_to_server;
	bool output_to_client;
	bool hide_stmt;
	bool hide_ctx;
	const char *filename;
	int lineno;
	const char *funcname;
	const char *domain;
	const char *context_domain;
	int sqlerrcode;
	char *message;
	char *detail;
	char *detail_log;
	char *hint;
	char *context;
	char *backtrace;
	const char *message_id;
	char *schema_name;
	char *table_name;
	char *column_name;
	char *datatype_name;
	char *constraint_name;
	int cursorpos;
} ErrorHead;

typedef struct {
	size_t len;
	char *data;
} Protobuf;

extern __thread sigjmp_buf *PG_exception_stack;
extern __thread struct ErrorContextCallback *error_context_stack;
extern __thread MemoryContext CurrentMemoryContext;
extern __thread int log_min_messages;

extern MemoryContext pg_query_enter_memory_context(void);
extern void pg_query_exit_memory_context(MemoryContext context);
extern void *raw_parser(const char *text, int mode);
extern Protobuf pg_query_nodes_to_protobuf(const void *tree);
extern ErrorHead *CopyErrorData(void);
extern void FlushErrorState(void);

/* Above PANIC: nothing that the parser has to say goes to the log. */
#define LOG_NOTHING 24

/* What the caller gets: on success data and len (free with countersign_parse_free), else data is NULL and message says why. */
typedef struct {
	char *data;
	size_t len;
	char *message;
	int position;
} CountersignParse;

CountersignParse countersign_parse(const char *text);
void countersign_parse_free(CountersignParse parse);

CountersignParse
countersign_parse(const char *text)
{
	CountersignParse result = {0};
	MemoryContext context = pg_query_enter_memory_context();
	sigjmp_buf *outer_stack = PG_exception_stack;
	struct ErrorContextCallback *outer_callbacks = error_context_stack;
	sigjmp_buf here;

	log_min_messages = LOG_NOTHING;
	if (sigsetjmp(here, 0) == 0)
	{
		void *tree;
		Protobuf encoded;

		PG_exception_stack = &here;
		tree = raw_parser(text, 0);
		encoded = pg_query_nodes_to_protobuf(tree);
		PG_exception_stack = outer_stack;
		error_context_stack = outer_callbacks;
		result.data = encoded.data;
		result.len = encoded.len;
	}
	else
	{
		ErrorHead *error;

		PG_exception_stack = outer_stack;
		error_context_stack = outer_callbacks;
		CurrentMemoryContext = context;
		error = CopyErrorData();
		result.message = strdup(error->message ? error->message : "unknown");
		result.position = error->cursorpos;
		FlushErrorState();
	}
	pg_query_exit_memory_context(context);
	return result;
}

void
countersign_parse_free(CountersignParse parse)
{
	free(parse.data);
	free(parse.message);
}
