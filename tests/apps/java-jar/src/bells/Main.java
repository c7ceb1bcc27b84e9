package bells;

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

/** Says how many strokes a ship's bell has at a time of the day. */
public final class Main {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.createContext("/", exchange -> {
            String path = exchange.getRequestURI().getPath();
            String answer = path.equals("/healthz") ? "ok" : strokes(path.substring(1));
            byte[] body = (answer + "\n").getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }

    static String strokes(String time) {
        String[] parts = time.split(":");
        if (parts.length != 2) {
            return "a time such as 16:30, please";
        }
        int half = Integer.parseInt(parts[0]) * 2 + Integer.parseInt(parts[1]) / 30;
        return half % 8 == 0 ? "8" : String.valueOf(half % 8);
    }
}
