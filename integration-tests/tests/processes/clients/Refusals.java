// Sends more than is read to a server, with Java's HttpClient, and prints each answer: client, status, body.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

class Refusals {
    public static void main(String[] arguments) throws Exception {
        byte[] body = new byte[Integer.parseInt(arguments[1])];
        int rounds = Integer.parseInt(arguments[2]);
        for (int at = 3; at < arguments.length; at++) {
            String[] methodAndPath = arguments[at].split(" ");
            for (int round = 0; round < rounds; round++) {
                // The default version: it asks for HTTP/2 by Upgrade, which the server ignores.
                HttpClient client = HttpClient.newHttpClient();
                HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0] + methodAndPath[1]))
                    .method(methodAndPath[0], HttpRequest.BodyPublishers.ofByteArray(body)).build();
                HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                System.out.println("java " + arguments[at] + " " + answer.statusCode() + " " + answer.body().trim());
            }
        }
    }
}
