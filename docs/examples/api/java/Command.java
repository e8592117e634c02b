import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.util.concurrent.TimeUnit;
import millrace.v1.CommandServiceGrpc;
import millrace.v1.Commands.SubmitCommandRequest;

public class Command {
    public static void main(String[] arguments) {
        var channel = Grpc.newChannelBuilder(System.getenv("MILLRACE_GRPC"), InsecureChannelCredentials.create()).build();
        var request = SubmitCommandRequest.newBuilder().setPath("acme/north/forming/line-1/blanking/press-01").setName("write").putParameters("speed_setpoint", 12.5);
        var commands = CommandServiceGrpc.newBlockingStub(channel).withDeadlineAfter(60, TimeUnit.SECONDS);
        System.out.println(commands.submitAndWait(request.build()));
        channel.shutdownNow();
    }
}
