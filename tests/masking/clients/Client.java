// Asks every question of a file by pgjdbc: simple, extended, prepared with binary results, by cursor, and as a copy.
// One question a line: its number, a tab, its kind, a tab, its text.

import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.*;
import java.util.List;
import java.util.Properties;
import org.postgresql.PGConnection;

public class Client {
    static Connection connect(String[] a, String way) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", a[2]);
        p.setProperty("password", a[3]);
        p.setProperty("sslmode", "disable");
        p.setProperty("gssEncMode", "disable");
        p.setProperty("PGDBNAME", a[4]);
        if (way.equals("pgjdbc-simple")) p.setProperty("preferQueryMode", "simple");
        if (way.equals("pgjdbc-binary")) {
            p.setProperty("prepareThreshold", "-1");
            p.setProperty("binaryTransfer", "true");
        }
        return DriverManager.getConnection("jdbc:postgresql://" + a[0] + ":" + a[1] + "/", p);
    }

    static void read(ResultSet r) throws SQLException {
        int n = r.getMetaData().getColumnCount();
        while (r.next()) for (int i = 1; i <= n; i++) {
            String type = r.getMetaData().getColumnTypeName(i);
            if (type.equals("money") || type.equals("xml")) r.getString(i); else r.getObject(i);
        }
    }

    static boolean ask(Connection c, String way, String kind, String sql) throws Exception {
        if (kind.equals("copy")) {
            if (!way.equals("pgjdbc-simple")) return false;
            c.unwrap(PGConnection.class).getCopyAPI().copyOut(sql, OutputStream.nullOutputStream());
            return true;
        }
        if (kind.equals("script") && !way.equals("pgjdbc-simple")) return false;
        if (way.equals("pgjdbc-cursor")) {
            if (!sql.toLowerCase().matches("(?s)(select|with|values|table).*")) return false;
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement(sql.replace("?", "??"))) {
                s.setFetchSize(3);
                try (ResultSet r = s.executeQuery()) { read(r); }
            }
            return true;
        }
        if (way.equals("pgjdbc-simple")) {
            // In this mode the driver takes binary values for text and does not come back.
            if (sql.contains("binary cursor")) return false;
            try (Statement s = c.createStatement()) {
                boolean rows = s.execute(sql);
                while (rows || s.getUpdateCount() != -1) {
                    if (rows) try (ResultSet r = s.getResultSet()) { read(r); }
                    rows = s.getMoreResults();
                }
            }
            return true;
        }
        try (PreparedStatement s = c.prepareStatement(sql.replace("?", "??"))) {
            // From the second time on without a description, from the fifth in binary.
            for (int i = 0; i < 3; i++) if (s.execute()) try (ResultSet r = s.getResultSet()) { read(r); }
        }
        return true;
    }

    static void emit(String way, String id, String status, String note) {
        String clean = note == null ? "" : note.replaceAll("[^ -~]|[\"\\\\]", " ");
        System.out.println("{\"way\": \"" + way + "\", \"id\": " + id + ", \"status\": \"" + status + "\", \"note\": \""
            + clean.substring(0, Math.min(300, clean.length())) + "\"}");
    }

    public static void main(String[] a) throws Exception {
        List<String> questions = Files.readAllLines(Path.of(a[5]));
        for (int w = 6; w < a.length; w++) {
            String way = a[w];
            Connection c = null;
            for (String line : questions) {
                String[] q = line.split("\t", 3);
                if (c == null || c.isClosed()) c = connect(a, way);
                try {
                    c.setAutoCommit(true);
                    try (Statement s = c.createStatement()) { s.execute("select 'question " + q[0] + " of " + way + "' as mark"); }
                    if (ask(c, way, q[1], q[2])) emit(way, q[0], "answered", "");
                } catch (SQLException e) {
                    emit(way, q[0], e.getSQLState() == null ? "no state" : e.getSQLState(), e.getMessage());
                } catch (Exception | StackOverflowError e) {
                    emit(way, q[0], "broke the driver", e.toString());
                }
                try {
                    if (!c.getAutoCommit()) c.rollback();
                    c.setAutoCommit(true);
                    try (Statement s = c.createStatement()) { s.execute("rollback"); }
                } catch (SQLException e) {
                    c.close();
                    c = null;
                }
            }
            if (c != null) c.close();
        }
    }
}
