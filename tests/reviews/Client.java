// pgjdbc: Client ID… runs one batch that changes the order with each id, and prints how many rows each changed, or the error's state. Then
// it shows that its connection is still good.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.util.Arrays;
import java.util.Properties;

public class Client {
    public static void main(String[] ids) throws Exception {
        Properties p = new Properties();
        p.setProperty("user", System.getenv("PGUSER"));
        p.setProperty("password", System.getenv("PGPASSWORD"));
        p.setProperty("sslmode", "disable");
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        try (Connection c = DriverManager.getConnection(url, p)) {
            try (PreparedStatement s = c.prepareStatement("update orders set note = ? where id = ?")) {
                for (String id : ids) {
                    s.setString(1, "by pgjdbc");
                    s.setInt(2, Integer.parseInt(id));
                    s.addBatch();
                }
                try {
                    System.out.println("changed " + Arrays.toString(s.executeBatch()));
                } catch (SQLException e) {
                    SQLException cause = e.getNextException() == null ? e : e.getNextException();
                    System.out.println("refused " + cause.getSQLState() + " " + cause.getMessage().replace('\n', ' '));
                }
                for (SQLWarning w = s.getWarnings(); w != null; w = w.getNextWarning()) {
                    System.out.println("warned " + w.getMessage());
                }
            }
            try (ResultSet r = c.createStatement().executeQuery("select 'usable'")) {
                r.next();
                System.out.println(r.getString(1));
            }
        }
    }
}
