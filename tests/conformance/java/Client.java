// The conformance set in pgjdbc: each case on a connection of its own, answers as JSON lines on stdout.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.sql.*;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

public class Client {
    interface Case { void run(Connection c, List<Object> out) throws Exception; }

    static final Map<String, Case> CASES = new LinkedHashMap<>();
    static String way;

    static String field(String name) {
        Matcher m = Pattern.compile("\"" + name + "\": (?:\"((?:[^\"\\\\]|\\\\.)*)\"|(\\d+))").matcher(way);
        if (!m.find()) throw new IllegalArgumentException(name);
        return m.group(1) != null ? m.group(1) : m.group(2);
    }

    static Connection connect(String... extra) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", field("user"));
        p.setProperty("password", field("password"));
        p.setProperty("sslmode", field("sslmode"));
        p.setProperty("gssEncMode", "disable");
        if (!field("cafile").isEmpty()) p.setProperty("sslrootcert", field("cafile"));
        for (int i = 0; i < extra.length; i += 2) p.setProperty(extra[i], extra[i + 1]);
        p.putIfAbsent("PGDBNAME", field("dbname"));
        return DriverManager.getConnection("jdbc:postgresql://" + field("host") + ":" + field("port") + "/", p);
    }

    static String sha(byte[] data) throws Exception {
        return data.length + " bytes " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data));
    }

    static Object show(Object v) throws Exception {
        if (v == null || v instanceof Boolean) return v;
        if (v instanceof byte[] b) return b.length > 200 ? sha(b) : "bytes " + HexFormat.of().formatHex(b);
        if (v instanceof java.sql.Array a) return "array " + a.getBaseTypeName() + " " + a;
        if (v instanceof SQLXML) return "xml";
        String s = v.toString();
        if (s.length() > 2000) s = sha(s.getBytes(StandardCharsets.UTF_8));
        return v.getClass().getSimpleName() + " " + s;
    }

    static List<Object> rows(ResultSet r) throws Exception {
        List<Object> out = new ArrayList<>();
        ResultSetMetaData m = r.getMetaData();
        for (int i = 1; i <= m.getColumnCount(); i++) {
            out.add(m.getColumnLabel(i) + " " + m.getColumnTypeName(i) + " " + m.getPrecision(i) + " " + m.getScale(i) + " "
                + m.getTableName(i) + " " + m.isNullable(i) + " " + m.getColumnClassName(i));
        }
        while (r.next()) {
            List<Object> row = new ArrayList<>();
            for (int i = 1; i <= m.getColumnCount(); i++) {
                // The driver cannot read money with thousands separators as the number it takes it for.
                row.add(m.getColumnTypeName(i).equals("money") ? r.getString(i) : show(r.getObject(i)));
            }
            out.add(row);
        }
        return out;
    }

    static Object failure(SQLException e) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("state", e.getSQLState());
        ServerErrorMessage s = e instanceof PSQLException p ? p.getServerErrorMessage() : null;
        if (s != null) {
            out.put("message", s.getMessage());
            out.put("detail", s.getDetail());
            out.put("hint", s.getHint());
            out.put("position", s.getPosition());
            out.put("constraint", s.getConstraint());
            out.put("where", s.getWhere());
            // Errors that the gateway may answer by itself: where in the server's source they were raised is not compared.
            out.put("routine", List.of("42601", "26000").contains(e.getSQLState()) ? null : s.getRoutine());
        }
        return out;
    }

    static Object all(Statement s, String text) throws Exception {
        List<Object> out = new ArrayList<>();
        try {
            boolean isRows = s.execute(text);
            while (true) {
                if (isRows) out.add(rows(s.getResultSet()));
                else if (s.getUpdateCount() == -1) break;
                else out.add("updated " + s.getUpdateCount());
                isRows = s.getMoreResults();
            }
        } catch (SQLException e) {
            out.add(failure(e));
        }
        return out;
    }

    static {
        CASES.put("simple_and_extended", (c, out) -> {
            try (Statement s = c.createStatement()) {
                out.add(all(s, "select 1 as one, 'zwei' as two, null as three"));
                out.add(all(s, "select count(*) from customers"));
            }
            try (Connection simple = connect("preferQueryMode", "simple"); Statement s = simple.createStatement()) {
                out.add(all(s, "select 1 as one, 'zwei' as two"));
                out.add(all(s, "select * from every_type order by id"));
            }
        });
        CASES.put("text_then_binary", (c, out) -> {
            try (PreparedStatement p = c.prepareStatement("select * from every_type where id > ? order by id")) {
                for (int i = 0; i < 7; i++) {
                    p.setInt(1, 0);
                    List<Object> found = rows(p.executeQuery());
                    if (i == 0 || i == 6) out.add(found);
                }
            }
            try (Connection b = connect("prepareThreshold", "-1", "binaryTransfer", "true");
                 PreparedStatement p = b.prepareStatement("select * from every_type order by id")) {
                out.add(rows(p.executeQuery()));
            }
        });
        CASES.put("parameters", (c, out) -> {
            String text = "select ?::int4, ?::int8, ?::float8, ?::numeric, ?::text, ?::bytea, ?::bool, ?::date, ?::timestamp, ?::int4[], ?::uuid, ?::jsonb, ?::text";
            try (PreparedStatement p = c.prepareStatement(text)) {
                for (int i = 0; i < 8; i++) {
                    p.setInt(1, i);
                    p.setLong(2, 1L << 40);
                    p.setDouble(3, 1.25);
                    p.setBigDecimal(4, new BigDecimal("1.50"));
                    p.setString(5, "ä€漢🐘");
                    p.setBytes(6, new byte[] {0, -1});
                    p.setBoolean(7, true);
                    p.setObject(8, java.time.LocalDate.of(2026, 2, 3));
                    p.setObject(9, java.time.LocalDateTime.of(2026, 1, 2, 3, 4, 5));
                    p.setArray(10, c.createArrayOf("int4", new Object[] {1, null, 3}));
                    p.setObject(11, new java.util.UUID(0, 7));
                    p.setObject(12, "{\"a\": 1}", Types.OTHER);
                    p.setNull(13, Types.VARCHAR);
                    out.add(rows(p.executeQuery()));
                }
                out.add(p.getParameterMetaData().getParameterTypeName(4));
            }
        });
        CASES.put("prepared_reused", (c, out) -> {
            try (PreparedStatement p = c.prepareStatement("select name from customers where id = ?")) {
                for (int i = 1; i <= 20; i++) {
                    p.setInt(1, i);
                    out.add(rows(p.executeQuery()));
                }
            }
        });
        CASES.put("fetch_size", (c, out) -> {
            c.setAutoCommit(false);
            try (PreparedStatement p = c.prepareStatement("select id, name from customers order by id")) {
                p.setFetchSize(37);
                long sum = 0;
                ResultSet r = p.executeQuery();
                while (r.next()) sum += r.getInt(1);
                out.add(sum);
                ResultSet half = p.executeQuery();
                for (int i = 0; i < 50; i++) half.next();
                out.add(half.getString(2));
                half.close();
                try (Statement s = c.createStatement()) { out.add(all(s, "select 'between'")); }
            }
            try (Statement s = c.createStatement()) {
                s.setFetchSize(10);
                ResultSet r = s.executeQuery("select 100 / (25 - g) from generate_series(1, 50) g");
                int n = 0;
                try {
                    while (r.next()) n++;
                } catch (SQLException e) {
                    out.add(failure(e));
                }
                out.add(n);
            }
            c.rollback();
            try (Statement s = c.createStatement()) {
                s.setMaxRows(5);
                out.add(rows(s.executeQuery("select id from orders order by id")));
            }
            c.rollback();
        });
        CASES.put("batches", (c, out) -> {
            try (PreparedStatement p = c.prepareStatement("insert into notes values (?, ?)")) {
                for (int i = 0; i < 3000; i++) {
                    p.setInt(1, 1000 + i);
                    p.setString(2, "note " + i);
                    p.addBatch();
                }
                out.add(Arrays.stream(p.executeBatch()).sum());
            }
            try (PreparedStatement p = c.prepareStatement("insert into notes values (?, ?) returning id", Statement.RETURN_GENERATED_KEYS)) {
                for (int i : new int[] {9000, 9001, 9002}) {
                    p.setInt(1, i);
                    p.setString(2, "r");
                    p.addBatch();
                }
                p.executeBatch();
                out.add(rows(p.getGeneratedKeys()));
                for (int i : new int[] {9100, 9000, 9101}) {
                    p.setInt(1, i);
                    p.setString(2, "r");
                    p.addBatch();
                }
                try {
                    p.executeBatch();
                } catch (BatchUpdateException e) {
                    out.add(Arrays.toString(e.getUpdateCounts()));
                    out.add(failure((SQLException) e.getCause()));
                }
            }
            try (Statement s = c.createStatement()) {
                s.addBatch("insert into notes values (9200, 'x')");
                s.addBatch("update notes set body = 'y' where id >= 9000");
                s.addBatch("delete from notes where id >= 1000");
                out.add(Arrays.toString(s.executeBatch()));
                out.add(all(s, "select count(*) from notes"));
            }
            try (Connection w = connect("reWriteBatchedInserts", "true"); PreparedStatement p = w.prepareStatement("insert into notes values (?, ?)")) {
                for (int i = 0; i < 300; i++) {
                    p.setInt(1, 1000 + i);
                    p.setString(2, "w");
                    p.addBatch();
                }
                out.add(Arrays.stream(p.executeBatch()).filter(n -> n == Statement.SUCCESS_NO_INFO || n == 1).count());
                try (Statement s = w.createStatement()) { out.add(all(s, "delete from notes where id >= 1000")); }
            }
        });
        CASES.put("multi_statement", (c, out) -> {
            try (Statement s = c.createStatement()) {
                out.add(all(s, "select 1 as a; insert into notes values (50, 'fifty'); select body from notes where id = 50; delete from notes where id = 50"));
                out.add(all(s, "insert into notes values (51, 'x'); select 1/0; select 2"));
                out.add(all(s, "select count(*) from notes where id = 51"));
            }
        });
        CASES.put("copy", (c, out) -> {
            CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
            for (String form : new String[] {"text", "csv", "binary"}) {
                ByteArrayOutputStream data = new ByteArrayOutputStream();
                out.add(copy.copyOut("copy (select * from every_type order by id) to stdout (format " + form + ")", data));
                out.add(sha(data.toByteArray()));
            }
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < 50000; i++) text.append(1000 + i).append("\tnote ").append(i).append('\n');
            out.add(copy.copyIn("copy notes from stdin", new StringReader(text.toString())));
            ByteArrayOutputStream binary = new ByteArrayOutputStream();
            copy.copyOut("copy (select id + 100000, body from notes where id >= 1000) to stdout (format binary)", binary);
            out.add(copy.copyIn("copy notes from stdin (format binary)", new ByteArrayInputStream(binary.toByteArray())));
            try {
                copy.copyIn("copy notes from stdin", new StringReader("1\tduplicate\n"));
            } catch (SQLException e) {
                out.add(failure(e));
            }
            var given = copy.copyIn("copy notes from stdin");
            given.writeToCopy("77\tx\n".getBytes(StandardCharsets.UTF_8), 0, 5);
            given.cancelCopy();
            try (Statement s = c.createStatement()) {
                out.add(all(s, "select count(*), sum(length(body)) from notes"));
                out.add(all(s, "delete from notes where id >= 1000"));
            }
        });
        CASES.put("transactions_and_savepoints", (c, out) -> {
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                out.add(all(s, "insert into notes values (70, 'a')"));
                Savepoint a = c.setSavepoint("a b");
                out.add(all(s, "insert into notes values (70, 'again')"));
                out.add(all(s, "select 1"));
                c.rollback(a);
                out.add(all(s, "select id from notes where id = 70"));
                c.rollback();
                out.add(all(s, "select id from notes where id = 70"));
                c.commit();
            }
            for (int level : new int[] {Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_SERIALIZABLE}) {
                c.setTransactionIsolation(level);
                c.setReadOnly(level == Connection.TRANSACTION_SERIALIZABLE);
                try (Statement s = c.createStatement()) {
                    out.add(all(s, "show transaction_isolation"));
                    out.add(all(s, "insert into notes values (71, 'x')"));
                }
                c.rollback();
            }
            try (Connection saving = connect("autosave", "always"); Statement s = saving.createStatement()) {
                saving.setAutoCommit(false);
                out.add(all(s, "insert into notes values (72, 'kept')"));
                out.add(all(s, "select nothing"));
                out.add(all(s, "select id from notes where id = 72"));
                saving.rollback();
            }
        });
        CASES.put("notices_and_notifications", (c, out) -> {
            try (Statement s = c.createStatement()) {
                s.execute("do $$ begin raise notice 'hello %', 1; raise warning 'careful' using hint = 'a hint'; end $$");
                for (SQLWarning w = s.getWarnings(); w != null; w = w.getNextWarning()) out.add(w.getSQLState() + " " + w.getMessage());
                s.execute("listen news");
                s.execute("notify news, 'first'");
                s.execute("select pg_notify('news', 'second')");
                PGNotification[] heard = c.unwrap(PGConnection.class).getNotifications(2000);
                for (PGNotification n : heard == null ? new PGNotification[0] : heard) out.add(n.getName() + " " + n.getParameter());
            }
        });
        CASES.put("parameter_status", (c, out) -> {
            out.add(new java.util.TreeMap<>(c.unwrap(PGConnection.class).getParameterStatuses()));
            try (Statement s = c.createStatement()) {
                s.execute("set application_name = 'renamed'");
                s.execute("set timezone = 'Asia/Tokyo'");
            }
            c.setClientInfo("ApplicationName", "again");
            out.add(new java.util.TreeMap<>(c.unwrap(PGConnection.class).getParameterStatuses()));
        });
        CASES.put("errors", (c, out) -> {
            try (Statement s = c.createStatement()) {
                for (String text : new String[] {"selekt 1", "select nothing", "select 1/0", "select 'x'::int", "insert into customers values (1, 'again')",
                    "insert into notes values (null)", "select 101::percent", "select f(1)", "select 'ä€' || syntax error here"}) {
                    out.add(text);
                    out.add(all(s, text));
                }
            }
            try (PreparedStatement p = c.prepareStatement("select ?::int")) {
                p.setString(1, "not a number");
                rows(p.executeQuery());
            } catch (SQLException e) {
                out.add(failure(e));
            }
            try (Statement s = c.createStatement()) { out.add(all(s, "select 'usable'")); }
        });
        CASES.put("cancel", (c, out) -> {
            var pool = Executors.newSingleThreadExecutor();
            try (Statement s = c.createStatement()) {
                var done = pool.submit(() -> all(s, "select pg_sleep(30)"));
                Thread.sleep(300);
                long at = System.nanoTime();
                s.cancel();
                out.add(done.get());
                out.add(System.nanoTime() - at < 10_000_000_000L);
                s.setQueryTimeout(1);
                out.add(all(s, "select pg_sleep(30)"));
                s.setQueryTimeout(0);
                out.add(all(s, "select 'usable'"));
            } finally {
                pool.shutdown();
            }
        });
        CASES.put("big_result", (c, out) -> {
            c.setAutoCommit(false);
            MessageDigest hash = MessageDigest.getInstance("SHA-256");
            try (Statement s = c.createStatement()) {
                s.setFetchSize(5000);
                ResultSet r = s.executeQuery("select g, md5(g::text) from generate_series(1, 1000000) g");
                int n = 0;
                while (r.next()) if (++n % 1000 == 0) hash.update((r.getInt(1) + r.getString(2)).getBytes(StandardCharsets.UTF_8));
                out.add(n);
            }
            out.add(HexFormat.of().formatHex(hash.digest()));
            c.rollback();
        });
        CASES.put("large_values", (c, out) -> {
            try (Statement s = c.createStatement()) {
                out.add(all(s, "select repeat('0123456789', 5000000) as big"));
                out.add(all(s, "select length('" + "x".repeat(9 << 20) + "')"));
            }
            try (PreparedStatement p = c.prepareStatement("select ?::bytea")) {
                p.setBytes(1, new byte[9 << 20]);
                out.add(rows(p.executeQuery()));
            }
        });
        CASES.put("metadata", (c, out) -> {
            DatabaseMetaData m = c.getMetaData();
            out.add(rows(m.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"})));
            out.add(rows(m.getColumns(null, "public", "every_type", "%")));
            out.add(rows(m.getPrimaryKeys(null, "public", "orders")));
            out.add(rows(m.getImportedKeys(null, "public", "orders")));
            out.add(rows(m.getProcedures(null, "public", "%")));
            out.add(m.getDatabaseProductVersion());
        });
        CASES.put("calls_and_names", (c, out) -> {
            try (CallableStatement f = c.prepareCall("{? = call add_one(?)}")) {
                f.registerOutParameter(1, Types.INTEGER);
                f.setInt(2, 41);
                f.execute();
                out.add(f.getInt(1));
            }
            try (CallableStatement p = c.prepareCall("call mark_twice(?)")) {
                p.setString(1, "from java");
                p.execute();
            }
            try (Statement s = c.createStatement()) {
                out.add(all(s, "select what from audit_log"));
                out.add(all(s, "select * from \"Weird \"\"Name\"\" – 表\" order by 1"));
                out.add(all(s, ""));
                out.add(all(s, ";"));
            }
        });
    }

    static void json(StringBuilder b, Object v) {
        if (v == null || v instanceof Boolean || v instanceof Number) {
            b.append(v);
        } else if (v instanceof List<?> l) {
            b.append('[');
            for (int i = 0; i < l.size(); i++) {
                if (i > 0) b.append(',');
                json(b, l.get(i));
            }
            b.append(']');
        } else if (v instanceof Map<?, ?> m) {
            b.append('{');
            int i = 0;
            for (Map.Entry<?, ?> e : m.entrySet()) {
                if (i++ > 0) b.append(',');
                json(b, e.getKey());
                b.append(':');
                json(b, e.getValue());
            }
            b.append('}');
        } else {
            b.append('"');
            for (char ch : v.toString().toCharArray()) {
                if (ch == '"' || ch == '\\') b.append('\\').append(ch);
                else if (ch < 32 || ch > 126) b.append(String.format("\\u%04x", (int) ch));
                else b.append(ch);
            }
            b.append('"');
        }
    }

    public static void main(String[] args) throws Exception {
        way = Files.readString(Path.of(args[0]));
        List<String> only = Arrays.asList(args).subList(1, args.length);
        for (Map.Entry<String, Case> e : CASES.entrySet()) {
            if (!only.isEmpty() && !only.contains(e.getKey())) continue;
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("case", e.getKey());
            try (Connection c = connect()) {
                List<Object> out = new ArrayList<>();
                e.getValue().run(c, out);
                line.put("out", out);
            } catch (Exception x) {
                java.io.StringWriter w = new java.io.StringWriter();
                x.printStackTrace(new java.io.PrintWriter(w));
                line.put("crash", w.toString());
            }
            StringBuilder b = new StringBuilder();
            json(b, line);
            System.out.println(b);
        }
    }
}
